// node scripts/eval-demo.ts [--write] [NAME...]: `hearth eval` in worlds whose truth is known: `helps`, where bought advice always helps, `useless`, where it never does, and
// `forks`, where it helps and the arms go on from the same moments. Ten tasks of the set, a local model that solves half of them, real daemon, sandbox and gate. Prints the
// tables of all, or of those that are named; --write renews docs/eval.svg, which shows `helps`.
import { copyFileSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Box, root } from '../test/journey/box.ts'
import { World } from '../test/journey/eval-world.ts'

const runs = [
  { name: 'helps', helps: true, title: 'Advice always helps', words: ['--arms', 'local,local-again,frontier,plan,advise,step,random,oracle'] },
  { name: 'useless', helps: false, title: 'Advice never helps', words: ['--arms', 'local,local-again,advise,random'] },
  { name: 'forks', helps: true, title: 'Advice always helps, forked', words: ['--fork', '--arms', 'local,advise,step,rest'] },
]
const write = process.argv.includes('--write')
const names = process.argv.slice(2).filter((word) => word !== '--write')

const box = new Box()
const world = new World(mkdtempSync(join(box.home, 'tasks-')))
await world.open()
const key = join(box.home, 'key')
writeFileSync(key, 'sk-test-Zq81LmX0pTr55vNwY2\n', { mode: 0o600 })
box.configure(world.config(key))
try {
  for (const { name, helps, title, words } of runs.filter((run) => names.length === 0 || names.includes(run.name))) {
    world.helps = helps
    const svg = join(box.home, `${name}.svg`)
    const begun = performance.now()
    const { code, stdout, stderr } = await box.hearth(['eval', world.folder, '--model', 'small', '--repeats', '2', ...words, '--svg', svg])
    if (code !== 0) throw new Error(`hearth eval ended with ${code}: ${stderr}`)
    console.log(`${title} (${((performance.now() - begun) / 1000).toFixed(0)} s):\n${stdout}`)
    if (write && name === 'helps') copyFileSync(svg, join(root, 'docs/eval.svg'))
  }
} finally {
  await box.close()
  world.close()
}
