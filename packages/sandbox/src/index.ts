// What other packages may use of the sandbox.
export { createConfine } from './confine.ts'
export { whyNear } from './proxy-address.ts'
export { createDialler, type Dialler, type Resolve } from './proxy-dial.ts'
export { createSandbox, type SandboxOptions } from './sandbox.ts'
