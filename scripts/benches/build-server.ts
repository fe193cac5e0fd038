// Builds a llama-server of the library's own commit into the folder it is given, as `hearth engine build` does, unless one lies there; prints its path.
import { join } from 'node:path'
import { BuildRequest } from '@hearth/protocol'
import { BuildStore } from '@hearth/engine'
import { createConfine } from '@hearth/sandbox'

const root = join(import.meta.dirname, '../..')
const [, , cacheDir = ''] = process.argv
const store = new BuildStore({ cacheDir, root, confine: createConfine(), node: process.execPath, env: process.env, workers: () => [] })
const { version } = (await import(join(root, 'node_modules/node-llama-cpp/package.json'), { with: { type: 'json' } }) as { default: { version: string } }).default
const programOf = (name: string): string => join(cacheDir, 'builds', name, 'bin/llama-server')

const known = store.list().builds.find((build) => build.backend === 'cpu' && build.targets.includes('server') && build.library === version)
if (known !== undefined) console.log(programOf(known.name))
else {
  let tenth = -1
  for await (const event of store.build(BuildRequest.parse({ backend: 'cpu', targets: ['server'] }), new AbortController().signal)) {
    switch (event.type) {
      case 'step':
      case 'note':
        console.error(event.text)
        break
      case 'progress': {
        const now = Math.floor((event.done / event.total) * 10)
        if (now !== tenth) console.error(`${event.done} of ${event.total} steps`)
        tenth = now
        break
      }
      case 'done':
        console.log(programOf(event.build.name))
        break
      case 'failed':
        console.error(`${event.fault.message}\n${event.fault.remedy}`)
        process.exitCode = 1
        break
      default: event satisfies never
    }
  }
}
