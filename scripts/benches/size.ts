// Bytes of a production install against the limit of the house rules.
import { join } from 'node:path'
import { folderBytes, withProductionInstall } from '../rules/size.ts'
import { installLimitBytes } from '../rules/table.ts'
import { readTree } from '../rules/tree.ts'
import { within, type Benchmark } from './frame.ts'

export const size: Benchmark = {
  name: 'size',
  title: 'Size of a production install',
  async run({ root, say }) {
    say('npm ci --omit=dev --ignore-scripts in a temporary folder')
    const bytes = await withProductionInstall(readTree(root), (installed) => folderBytes(join(installed, 'node_modules')))
    return [within({ bench: 'size', figure: 'production install', unit: 'MB', note: 'sum of file sizes below node_modules; the pinned Node is about half' },
      [bytes / 1e6], { name: 'limit', value: installLimitBytes / 1e6 }, { is: 'at most', ratio: 1 })]
  },
}
