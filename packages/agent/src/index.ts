// What is done with tokens: the loop and the words it needs from outside.
export { runAgent } from './loop.ts'
export { probeModel } from './probe/probe.ts'
