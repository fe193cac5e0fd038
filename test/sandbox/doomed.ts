// A program for the tests: a daemon that is killed in the middle of a run. Arguments: state folder, workspace, token, strict or weak.
import { Config } from '@hearth/protocol'
import { createSandbox } from '../../packages/sandbox/src/index.ts'
import { limits } from './hostile.ts'

const [stateDir = '', workspace = '', token = '', kind = ''] = process.argv.slice(2)
const sandbox = createSandbox({
  config: Config.parse({ sandbox: { limits: kind } }).sandbox, stateDir, log: console.error,
  ...(kind === 'weak' ? { cgroupRoot: workspace } : {}),
})
const script = `trap '' TERM; setsid sh -c 'trap "" TERM; sleep ${token}' & sleep ${token} & echo up; wait`
const result = await sandbox.run({ argv: ['sh', '-c', script], workspace, limits: { ...limits, wallMs: 600_000 }, captureBytes: 100, onOutput: () => console.log('up') }, new AbortController().signal)
console.log(JSON.stringify(result))
