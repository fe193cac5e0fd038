// What other packages may use of the sandbox.
export { createConfine } from './confine.ts'
export { createSandbox, type SandboxOptions } from './sandbox.ts'
