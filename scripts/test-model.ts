// Puts the starter model into the test cache, through the product itself, and verifies it there. Fetches nothing twice.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, globSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Catalog } from '@hearth/protocol/catalog'

const root = join(import.meta.dirname, '..')
const id = 'smollm2-135m'
const cache = process.env['HEARTH_TEST_CACHE'] ?? join(homedir(), '.cache/hearth-test')
const file = Catalog.parse(JSON.parse(readFileSync(join(root, 'models.json'), 'utf8'))).models.find((one) => one.id === id)?.files[0]
if (file?.sha256 == null) throw new Error(`models.json has no entry '${id}' with a sha256`)
const target = join(cache, file.name)

if (!(await isRight(target))) {
  console.error(`setup: fetching the starter model for the tests (${Math.round((file.bytes ?? 0) / 1e6)} MB) ...`)
  const models = join(cache, 'models')
  mkdirSync(models, { recursive: true })
  const home = mkdtempSync(join(tmpdir(), 'hearth-setup-'))
  const env = { ...process.env, HEARTH_HOME: home, HEARTH_MODELS: models }
  const hearth = join(root, 'node_modules/.bin/hearth')
  try {
    execFileSync(hearth, ['up'], { env, stdio: ['ignore', 'ignore', 'inherit'] })
    execFileSync(hearth, ['models', 'pull', id], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  } catch {
    // It said itself what was wrong; the line below says what follows from it.
  } finally {
    stop(hearth, env)
    rmSync(home, { recursive: true, force: true })
  }
  const found = globSync(`**/${file.name}`, { cwd: models })[0]
  if (found !== undefined) {
    rmSync(target, { force: true })
    linkSync(join(models, found), target)
  }
  if (!(await isRight(target))) {
    console.error(`setup: the tests need the starter model at ${target} (${file.bytes} bytes, sha256 ${file.sha256}) and it could not be put there; copy it by hand or repair the network.`)
    process.exit(69)
  }
  console.error(`setup: starter model verified at ${target}.`)
}

async function isRight(path: string): Promise<boolean> {
  if (statSync(path, { throwIfNoEntry: false })?.size !== file?.bytes) return false
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex') === file?.sha256
}

/** Ends the daemon that was started for the pull. */
function stop(hearth: string, env: NodeJS.ProcessEnv): void {
  try {
    execFileSync(hearth, ['down'], { env, stdio: 'ignore' })
  } catch {
    // There was none.
  }
}
