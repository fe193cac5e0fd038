// node scripts/eval-demo.ts [--write]: `hearth eval` in two worlds whose truth is known, one where bought advice always helps and one where it never does: ten tasks of the
// set, a local model that solves half of them, real daemon, sandbox and gate. Prints both tables; --write renews docs/eval.svg.
import { copyFileSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Box, root } from '../test/journey/box.ts'
import { World } from '../test/journey/eval-world.ts'

const box = new Box()
const world = new World(mkdtempSync(join(box.home, 'tasks-')))
await world.open()
const key = join(box.home, 'key')
writeFileSync(key, 'sk-test-Zq81LmX0pTr55vNwY2\n', { mode: 0o600 })
box.configure(world.config(key))
try {
  for (const helps of [true, false]) {
    world.helps = helps
    const svg = join(box.home, `${String(helps)}.svg`)
    const begun = performance.now()
    const arms = helps ? 'local,local-again,frontier,plan,advise,step,random,oracle' : 'local,local-again,advise,random'
    const { code, stdout, stderr } = await box.hearth(['eval', world.folder, '--model', 'small', '--repeats', '2', '--arms', arms, '--svg', svg])
    if (code !== 0) throw new Error(`hearth eval ended with ${code}: ${stderr}`)
    console.log(`Advice ${helps ? 'always' : 'never'} helps (${((performance.now() - begun) / 1000).toFixed(0)} s):\n${stdout}`)
    if (helps && process.argv.includes('--write')) copyFileSync(svg, join(root, 'docs/eval.svg'))
  }
} finally {
  await box.close()
  world.close()
}
