// Owns the process of the hearth command: environment in, exit code out. The only file here that reads process.env or exits.
import { enableCompileCache } from 'node:module'
import { resolvePaths } from '@hearth/protocol/paths'

const paths = resolvePaths(process.env, process.getuid?.() ?? 0)
// Stripped and compiled code is kept, so that the next command starts sooner. Imports come after it for that reason.
enableCompileCache(`${paths.cache}/compile`)
const { makeContext } = await import('./context.ts')
const { dispatch } = await import('./cli.ts')

const argv = process.argv.slice(2)
const ctx = makeContext({
  stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, env: process.env, cwd: process.cwd(), paths, signals: process,
}, !argv.includes('--no-color'))
// A forced exit: an open stream or an unread standard input must not keep a finished command alive. Writes to pipes are synchronous on Linux.
process.exit(await dispatch(ctx, argv))
