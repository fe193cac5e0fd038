// The kept states of a job's folder with real git in the real sandbox: what is kept, what is not, what comes back, and what a hostile folder can do.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Config, type EventOf, type Job, type JobEvent, type JobEventBody, type JobResult } from '@hearth/protocol'
import { createSandbox } from '@hearth/sandbox'
import { headOf, sourceOf } from '../../packages/daemon/src/workspace/source.ts'
import { Workspaces, type Place } from '../../packages/daemon/src/workspace/workspaces.ts'

type Limits = Partial<Config['workspace']>

/** Some folders, a sandbox and one Workspaces; jobs are made by hand. */
class Bench {
  readonly root = realpathSync(mkdtempSync(join(tmpdir(), 'hearth-ws-')))
  readonly logged: string[] = []
  readonly config: Config
  readonly sandbox
  workspaces: Workspaces
  #jobs = 0

  constructor(limits: Limits = {}) {
    this.config = Config.parse({ sandbox: { limits: 'weak' }, workspace: limits })
    this.sandbox = createSandbox({ config: this.config.sandbox, stateDir: join(this.root, 'state'), log: () => undefined })
    mkdirSync(join(this.root, 'state/outputs'), { recursive: true })
    this.workspaces = this.anew()
  }

  /** As after a restart of the daemon. */
  anew(): Workspaces {
    this.workspaces = new Workspaces({ config: this.config, stateDir: join(this.root, 'state'), sandbox: () => Promise.resolve(this.sandbox), log: (_level, what, detail) => void this.logged.push(`${what} ${String(detail?.['problem'] ?? '')}`) })
    return this.workspaces
  }

  folder(files: Record<string, string | Buffer> = {}): string {
    const folder = mkdtempSync(join(this.root, 'work-'))
    chmodSync(folder, 0o755)
    this.write(folder, files)
    return folder
  }

  write(folder: string, files: Record<string, string | Buffer>): void {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(folder, name, '..'), { recursive: true })
      writeFileSync(join(folder, name), text)
    }
  }

  repository(files: Record<string, string | Buffer>): string {
    const folder = this.folder(files)
    sh(folder, 'git init -q -b main . && git config user.email a@example.com && git config user.name A && git add -A && git commit -q -m one')
    return folder
  }

  job(cwd: string, result: JobResult = 'in_place'): Job {
    this.#jobs += 1
    const id = `job${this.#jobs}`
    mkdirSync(join(this.root, 'state/outputs', id), { recursive: true })
    return {
      id, state: 'running', verified: null, model: 'm', createdAt: 0, startedAt: 0, endedAt: null, lastSeq: 0, summary: null, fault: null, receipt: null, exitCode: null,
      request: { prompt: 'Mend it.\nPlease.', cwd, checks: [], model: null, maxSteps: null, maxTokens: null, timeoutSeconds: null, seed: null, class: 'job', result, tags: {}, idempotencyKey: null },
      principal: { id: 'p', kind: 'socket', origin: 'human', scopes: [], class: 'job' }, project: { id: cwd, path: cwd, dataClass: 'local-only', consent: 'never' },
    }
  }

  async open(job: Job, past: JobEventBody[] = []): Promise<Place> {
    const place = await this.workspaces.open(job, past, new AbortController().signal)
    assert.ok(!('fault' in place), 'fault' in place ? place.fault.message : '')
    return place
  }

  async close(): Promise<void> {
    await this.sandbox.close()
    rmSync(this.root, { recursive: true, force: true })
  }
}

function sh(cwd: string, script: string): string {
  return execFileSync('/bin/sh', ['-c', script], { cwd, encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: '/nonexistent', GIT_CONFIG_NOSYSTEM: '1' } })
}

/** Every entry of a folder but .git: kind, permission bits, content. */
function picture(folder: string, at = ''): Record<string, string> {
  const found: Record<string, string> = {}
  for (const name of readdirSync(Buffer.from(join(folder, at)), { encoding: 'buffer' })) {
    const text = name.toString('latin1')
    if (at === '' && text === '.git') continue
    const path = Buffer.concat([Buffer.from(`${join(folder, at)}/`), name])
    const info = lstatSync(path)
    const key = join(at, text)
    if (info.isSymbolicLink()) found[key] = `-> ${readlinkSync(path)}`
    else if (info.isDirectory()) Object.assign(found, picture(folder, key))
    else found[key] = `${(info.mode & 0o7777).toString(8)} ${readFileSync(path).toString('latin1')}`
  }
  return found
}

/** Everything in .git that the owner would notice. */
function ownerSide(folder: string): string {
  return sh(folder, 'git rev-parse HEAD; git symbolic-ref HEAD; git for-each-ref; git stash list; sha256sum .git/index; git status --porcelain')
}

async function keep(place: Place, step: number): Promise<EventOf<'committed'>> {
  const event = await place.port?.keep(step, 'bash')
  assert.ok(event !== null && event !== undefined, `step ${step} was not kept`)
  return event
}

function stamped(events: JobEventBody[]): JobEvent[] {
  return events.map((event, index) => ({ ...event, seq: index + 1, jobId: 'j', at: 0 }))
}

const ended: JobEventBody = {
  type: 'ended', outcome: 'done_unverified', verified: null, summary: null, fault: null, exitCode: 0,
  receipt: { steps: 0, toolCalls: 0, modelCalls: 0, promptTokens: 0, reusedTokens: 0, completionTokens: 0, seconds: 0, modelSeconds: 0, tokensPerSecond: null, joules: null, usdMicros: 0, bytesLeftBox: 0 },
}
const step = (n: number): JobEventBody => ({ type: 'step', step: n })
const bytesOf = async (stream: ReadableStream<Uint8Array>): Promise<Buffer> => Buffer.from(await new Response(stream).arrayBuffer())

describe('what a job changed so far, for a model', () => {
  it('is the patches of its files in order; what is binary or long is a name, and nothing is when nothing was changed', async () => {
    const bench = new Bench()
    const folder = bench.repository({ 'a b.txt': 'one\ntwo\n', 'c.txt': 'c\n', 'd.bin': Buffer.from([0, 1, 2]) })
    const place = await bench.open(bench.job(folder))
    assert.deepEqual(await place.port?.diff?.(10_000), [])
    bench.write(folder, { 'a b.txt': 'one\n2\n', 'd.bin': Buffer.from([0, 9]), 'long.txt': 'diff --git a/x b/x\n'.repeat(5000), 'n\u00e9w.txt': 'diff --git a/x b/x\n' })
    rmSync(join(folder, 'c.txt'))
    await keep(place, 1)
    const files = await place.port?.diff?.(10_000) ?? []
    await bench.close()
    assert.deepEqual(files.map(({ path }) => path), ['a b.txt', 'c.txt', 'd.bin', 'long.txt', 'n\u00e9w.txt'])
    assert.match(files[0]?.patch ?? '', /^diff --git a\/a b.txt b\/a b.txt\nindex .*\n--- a\/a b.txt\t?\n\+\+\+ b\/a b.txt\t?\n@@ -1,2 \+1,2 @@\n one\n-two\n\+2\n$/)
    assert.match(files[1]?.patch ?? '', /\n-c\n$/)
    assert.equal(files[2]?.patch, 'diff --git a/d.bin b/d.bin\n(binary, not shown)\n')
    assert.equal(files[3]?.patch, 'diff --git a/long.txt b/long.txt\n(+5000 -0 lines, not shown)\n')
    assert.match(files[4]?.patch ?? '', /\n\+diff --git a\/x b\/x\n$/)
  })
})

describe('states of a folder', () => {
  let bench: Bench
  before(() => { bench = new Bench({ fileBytes: 100_000 }) })
  after(() => bench.close())

  it('keeps and puts back content, deletions, modes, links and strange names; the owner\'s side of .git stays as it is', async () => {
    const folder = bench.repository({ 'a.txt': 'one\n', 'run.sh': '#!/bin/sh\n', 'private': 'p', 'd/e/f': 'deep', 'gone': 'here', 'locked': 'ro' })
    chmodSync(join(folder, 'run.sh'), 0o755)
    chmodSync(join(folder, 'private'), 0o600)
    chmodSync(join(folder, 'locked'), 0o444)
    symlinkSync('/etc/passwd', join(folder, 'outside'))
    symlinkSync('d', join(folder, 'inside'))
    sh(folder, 'git add -A; git commit -q -m two; echo dirty >> a.txt; echo staged > staged; git add staged; echo new > untracked; echo stashed > st; git add st; git stash -q -- st')
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0x66, 0xff, 0x0a, 0x67])]), 'bytes\n')
    writeFileSync(join(folder, '-z'), 'dash')
    const [first, owner] = [picture(folder), ownerSide(folder)]
    const place = await bench.open(bench.job(folder))
    assert.deepEqual(place.events.map((event) => event.type === 'workspace' && [event.kind, event.path, event.detail]), [['in_place', folder, '']])
    assert.equal(await place.port?.keep(1, 'bash'), null, 'nothing changed, nothing is kept')

    sh(folder, 'echo two > a.txt; rm gone outside; chmod -x run.sh; ln -s /root outside; rm inside; mkdir inside; echo x > inside/y; rm -r d; echo file > d; printf "\\000\\001" > bin; rm -- -z; echo changed > private; rm -f locked; echo w > locked')
    const second = picture(folder)
    const kept = await keep(place, 1)
    assert.deepEqual([kept.files, kept.step], [12, 1])
    sh(folder, 'rm -rf -- *; echo only > one')
    await keep(place, 2)
    assert.equal(await place.port?.restore(kept.commit), null)
    // Of permissions git keeps whether a file may be executed; those of files that are there stay, others get the usual ones.
    const usual = (all: Record<string, string>): Record<string, string> => Object.fromEntries(Object.entries(all).map(([name, text]) => [name, text.replace(/^(600|444|640) /, '644 ')]))
    assert.deepEqual(usual(picture(folder)), usual(second))
    assert.equal(await place.port?.restore(place.port.base ?? ''), null)
    assert.deepEqual(usual(picture(folder)), usual(first))
    assert.equal(ownerSide(folder), owner)
    assert.deepEqual(bench.logged, [])
  })

  it('a file that is put back keeps its own permissions', async () => {
    const folder = bench.repository({ 'key': 'secret\n', 'ro': 'r\n', 'tool': 't\n' })
    chmodSync(join(folder, 'key'), 0o600)
    chmodSync(join(folder, 'ro'), 0o444)
    chmodSync(join(folder, 'tool'), 0o750)
    const place = await bench.open(bench.job(folder))
    writeFileSync(join(folder, 'key'), 'changed\n')
    chmodSync(join(folder, 'ro'), 0o644)
    writeFileSync(join(folder, 'ro'), 'changed\n')
    chmodSync(join(folder, 'ro'), 0o444)
    writeFileSync(join(folder, 'tool'), 'changed\n')
    await keep(place, 1)
    assert.equal(await place.port?.restore(place.port.base ?? ''), null)
    assert.deepEqual(picture(folder), { 'key': '600 secret\n', 'ro': '444 r\n', 'tool': '750 t\n' })
  })

  it('ignored, large and foreign things are left alone and named', async () => {
    const folder = bench.repository({ '.gitignore': 'out/\n', 'a': 'a', 'big': Buffer.alloc(200_000, 'b'), 'grows': 'small' })
    sh(folder, 'mkdir nested && cd nested && git init -q . && git -c user.name=a -c user.email=b commit -q --allow-empty -m x && echo n > n')
    bench.write(folder, { 'new-big': Buffer.alloc(200_000, 'n'), 'out/x': 'ignored', 'node_modules/m/i.js': 'm' })
    const place = await bench.open(bench.job(folder))
    assert.deepEqual(place.events.map((event) => event.type === 'workspace' && event.detail), ['not kept: repositories of their own (nested/); files above 98 KiB (new-big)'])
    bench.write(folder, { 'out/x': 'changed', 'out/y': 'y', 'node_modules/m/i.js': 'changed', 'nested/n': 'changed', 'a': 'b', 'grows': Buffer.alloc(150_000, 'g') })
    writeFileSync(join(folder, 'new-big'), 'now small')
    const kept = await keep(place, 1)
    assert.equal(kept.files, 3)
    assert.equal(await place.port?.restore(place.port.base ?? ''), null)
    const now = picture(folder)
    assert.deepEqual([now['a'], now['grows'], now['out/x'], now['out/y'], now['node_modules/m/i.js'], now['nested/n']], ['644 a', '644 small', '644 changed', '644 y', '644 changed', '644 changed'])
    assert.equal(now['big']?.length, 200_004)
  })

  it('a large file of the owner that was changed before the job stays as the owner left it, also after a restart', async () => {
    const folder = bench.repository({ 'a': 'a', 'big': Buffer.alloc(200_000, 'b') })
    writeFileSync(join(folder, 'big'), Buffer.alloc(200_000, 'c'))
    const job = bench.job(folder)
    const place = await bench.open(job)
    writeFileSync(join(folder, 'a'), 'b')
    const kept = await keep(place, 1)
    bench.anew()
    const again = await bench.open(job, [...place.events, step(1), kept])
    assert.equal(await again.port?.restore(again.port.base ?? ''), null)
    assert.deepEqual(picture(folder), { 'a': '644 a', 'big': `644 ${'c'.repeat(200_000)}` })
  })

  it('a folder without git is kept too, by its own ignore file', async () => {
    const folder = bench.folder({ '.gitignore': '*.log\n', 'a': 'a', 'x.log': 'log', '.venv/v': 'v', 'deep/b': 'b' })
    const place = await bench.open(bench.job(folder))
    rmSync(join(folder, 'deep'), { recursive: true })
    bench.write(folder, { 'a': 'b', 'x.log': 'changed', '.venv/v': 'changed' })
    assert.equal((await keep(place, 1)).files, 2)
    assert.equal(await place.port?.restore(place.port.base ?? ''), null)
    assert.deepEqual(picture(folder), { '.gitignore': '644 *.log\n', 'a': '644 a', 'x.log': '644 changed', '.venv/v': '644 changed', 'deep/b': '644 b' })
    assert.ok(!existsSync(join(folder, '.git')))
  })

  const repositories: [string, (folder: string) => void][] = [
    ['an unborn HEAD', (folder) => sh(folder, 'git update-ref -d HEAD')],
    ['a lock on the index', (folder) => writeFileSync(join(folder, '.git/index.lock'), '')],
    ['no index', (folder) => rmSync(join(folder, '.git/index'))],
    ['a damaged index', (folder) => writeFileSync(join(folder, '.git/index'), Buffer.alloc(5000, 7))],
    ['a conflict', (folder) => sh(folder, 'git checkout -q -b other; echo o > a; git commit -qam o; git checkout -q main; echo m > a; git commit -qam m; git merge other >/dev/null || true')],
    ['entries that git does not look at', (folder) => sh(folder, 'git update-index --assume-unchanged a; git update-index --skip-worktree b; echo hidden > a; echo hidden > b')],
    ['a sparse checkout', (folder) => sh(folder, 'mkdir s; echo s > s/s; git add -A; git commit -qm s; git sparse-checkout set --no-cone /a /b')],
    ['a split index', (folder) => sh(folder, 'git update-index --split-index; echo x > x; git add x')],
    ['an index of version 4', (folder) => sh(folder, 'git update-index --index-version 4')],
    ['line ends that are converted', (folder) => sh(folder, 'git config core.autocrlf true; printf "a\\r\\nb\\r\\n" > a; git add a; git commit -qm crlf')],
    ['attributes that convert', (folder) => { sh(folder, 'echo "*.bat eol=crlf\n*.x ident" > .gitattributes; printf "a\\r\\n" > t.bat; echo "\\$Id\\$" > i.x; git add -A; git commit -qm attr; rm i.x; git checkout i.x') }],
    ['text files of other line ends than their index', (folder) => { sh(folder, 'printf "* text=auto\n*.old crlf=input\n" > .gitattributes; printf "a\\r\\nb\\r\\n" > t.bat; cp t.bat x.old; ln -s a l; git add -A 2>/dev/null; git commit -qm text') }],
    ['a filter that is not there', (folder) => { sh(folder, 'git config filter.far.clean "sed s/^/pointer/"; git config filter.far.smudge cat; echo "big filter=far" > .gitattributes; echo content > big; git add -A; git commit -qm filter') }],
    ['objects in another repository', (folder) => { sh(folder, 'git clone -q --reference . . ../referenced 2>/dev/null; mv .git ../oldgit; mv ../referenced/.git .git; rm -rf ../referenced'); }],
    ['replaced and grafted history', (folder) => sh(folder, 'git commit -q --allow-empty -m two; git replace --graft HEAD')],
    ['a broken .git', (folder) => rmSync(join(folder, '.git/HEAD'))],
    ['a .git that is a file of nonsense', (folder) => { rmSync(join(folder, '.git'), { recursive: true }); writeFileSync(join(folder, '.git'), 'nonsense') }],
    ['sha256 objects', (folder) => { rmSync(join(folder, '.git'), { recursive: true }); sh(folder, 'git init -q --object-format=sha256 . && git -c user.name=a -c user.email=b add -A && git -c user.name=a -c user.email=b commit -qm x') }],
    ['a bare repository as the folder', (folder) => { sh(folder, 'git clone -q --bare . ../bare.git; rm -rf .git a b; mv ../bare.git/* .; rmdir ../bare.git') }],
  ]
  // git reads a file again when it is as young as the index. A real checkout is older than that, and then its entry alone decides: each state is tried both ways.
  const aged = (folder: string): void => {
    sh(folder, 'find . -path ./.git -prune -o -exec touch -h -d "2 days ago" {} +; git update-index -q --refresh >/dev/null 2>&1; [ ! -f .git/index ] || touch -d "1 day ago" .git/index; :')
  }
  for (const [name, prepare, age] of repositories.flatMap(([name, prepare]) => [[name, prepare, null], [`${name}, checked out long ago`, prepare, aged]] as const)) {
    it(`works with ${name}`, async () => {
      const folder = bench.repository({ 'a': 'one\n', 'b': 'two\n', 'd/c': 'three\n' })
      prepare(folder)
      age?.(folder)
      const first = picture(folder)
      const place = await bench.open(bench.job(folder))
      assert.ok(place.port !== null, JSON.stringify(place.events))
      sh(folder, 'for f in a b d/c t.bat i.x big; do [ ! -f $f ] || echo changed > $f; done; echo new > new')
      const second = picture(folder)
      const kept = await keep(place, 1)
      assert.equal(await place.port.restore(place.port.base ?? ''), null)
      assert.deepEqual(picture(folder), first)
      assert.equal(await place.port.restore(kept.commit), null)
      assert.deepEqual(picture(folder), second)
    })
  }

  it('a linked worktree, a submodule and a folder inside a repository', async () => {
    const main = bench.repository({ 'a': 'one\n', 'sub/deep/b': 'two\n', '.gitignore': '*.tmp\n' })
    const linked = join(bench.root, 'linked')
    sh(main, `git worktree add -q ${linked} -b linked`)
    const other = bench.repository({ 's': 'sub\n' })
    sh(main, `git -c protocol.file.allow=always submodule add -q ${other} mod && git commit -qm mod`)
    bench.write(main, { 'sub/x.tmp': 'ignored by the file above' })
    for (const [folder, change, detail] of [
      [linked, 'a', ''], [join(main, 'sub'), 'deep/b', `it lies inside the repository ${main}`], [main, 'a', ''],
    ] as const) {
      const place = await bench.open(bench.job(folder))
      assert.deepEqual(place.events.map((event) => event.type === 'workspace' && [event.base !== null, event.detail]), [[true, detail]])
      bench.write(folder, { [change]: 'changed\n', 'x.tmp': 'changed', ...(folder === main ? { 'mod/s': 'changed\n' } : {}) })
      assert.equal((await keep(place, 1)).files, 1)
      assert.equal(await place.port?.restore(place.port.base ?? ''), null)
      assert.notEqual(readFileSync(join(folder, change), 'utf8'), 'changed\n')
      assert.equal(readFileSync(join(folder, 'x.tmp'), 'utf8'), 'changed')
    }
    assert.equal(readFileSync(join(main, 'mod/s'), 'utf8'), 'changed\n', 'a submodule is not looked into')
  })

  it('more than the bounds: nothing is kept, with the numbers, and the job goes on', async () => {
    const folder = bench.folder(Object.fromEntries(Array.from({ length: 120 }, (_, index) => [`f${index}`, 'x'])))
    const few = new Bench({ files: 100 })
    try {
      const place = await few.open(few.job(folder))
      assert.equal(place.port, null)
      assert.deepEqual(place.events, [{ type: 'workspace', kind: 'in_place', path: folder, base: null, detail: 'no diff and no undo: 120 files are new or changed, and at most 100 are kept at once (workspace.files)' }])
      assert.deepEqual(readdirSync(join(few.root, 'state/kept')), [])
    } finally {
      await few.close()
    }
  })

  it('a step that cannot be kept is logged and later steps are kept', async () => {
    const folder = bench.repository({ 'a': 'a' })
    const place = await bench.open(bench.job(folder))
    const objects = join(bench.root, 'state/kept', `job${readdirSync(join(bench.root, 'state/kept')).map((name) => Number(/^job(\d+)$/.exec(name)?.[1] ?? 0)).toSorted((x, y) => y - x)[0]}`, 'git/objects')
    sh(objects, 'mkdir ../away; mv * ../away/; touch ../objects.full; cd ..; rmdir objects; mv objects.full objects')
    writeFileSync(join(folder, 'a'), 'b')
    assert.equal(await place.port?.keep(1, 'bash'), null)
    assert.match(bench.logged.join('\n'), /^a step could not be kept git ended with/)
    sh(join(objects, '..'), 'rm objects; mkdir objects; mv away/* objects/')
    assert.equal((await keep(place, 2)).files, 1)
    bench.logged.length = 0
  })

  it('a restart goes on at the same states, and what was kept without an event is told', async () => {
    const folder = bench.repository({ 'a': 'a\n' })
    const job = bench.job(folder)
    const place = await bench.open(job)
    writeFileSync(join(folder, 'a'), 'b\n')
    const kept = await keep(place, 1)
    writeFileSync(join(folder, 'a'), 'c\n')
    const lost = await keep(place, 2)
    bench.anew()
    const again = await bench.open(job, [...place.events, step(1), kept, step(2)])
    assert.deepEqual(again.events, [lost])
    assert.equal(again.port?.base, place.port?.base)
    writeFileSync(join(folder, 'a'), 'd\n')
    assert.equal((await keep(again, 3)).files, 1)
  })
})

describe('diff and undo of a job that is over', () => {
  let bench: Bench
  before(() => { bench = new Bench() })
  after(() => bench.close())

  const ran = async (folder: string): Promise<{ job: Job; events: JobEvent[] }> => {
    const job = bench.job(folder)
    const place = await bench.open(job)
    bench.write(folder, { 'a': 'step 1\n', 'new1': '1\n' })
    const one = await keep(place, 1)
    bench.write(folder, { 'a': 'step 2\n', 'bin': Buffer.from([0, 1, 2, 255]) })
    rmSync(join(folder, 'b'))
    const two = await keep(place, 2)
    const delivered = await place.deliver(2)
    assert.deepEqual(delivered, [{ type: 'delivered', how: 'in_place', to: folder, files: 4 }])
    return { job, events: stamped([...place.events, step(1), one, step(2), two, ...delivered]) }
  }
  const undo = async (job: Job, events: JobEvent[], toStep: number, force = false, over = true) => {
    const reply = await bench.workspaces.after.undo(job, events, { toStep, force, by: 'p' }, (event) => {
      // As in a job that is over: what follows its end is no step of it.
      if (over && !events.some((one) => one.type === 'ended')) events.push(...stamped([ended]))
      events.push(...stamped([event]))
      return Promise.resolve()
    })
    return { count: reply.count, files: reply.files.toSorted() }
  }

  it('back, between steps, forward again; also after a restart; the owner\'s other files stay', async () => {
    const folder = bench.repository({ 'a': 'one\n', 'b': 'two\n', 'c': 'three\n' })
    const first = picture(folder)
    const { job, events } = await ran(folder)
    const last = picture(folder)
    writeFileSync(join(folder, 'c'), 'the owner wrote this\n')
    writeFileSync(join(folder, 'mine'), 'and this\n')
    const mine = { 'c': '644 the owner wrote this\n', 'mine': '644 and this\n' }
    assert.deepEqual(await undo(job, events, 0), { count: 4, files: ['a', 'b', 'bin', 'new1'] })
    assert.deepEqual(picture(folder), { ...first, ...mine })
    assert.deepEqual(await undo(job, events, 0), { count: 0, files: [] })
    bench.anew()
    assert.deepEqual(await undo(job, events, 1), { count: 2, files: ['a', 'new1'] })
    assert.equal(readFileSync(join(folder, 'a'), 'utf8'), 'step 1\n')
    assert.deepEqual(await undo(job, events, 2), { count: 3, files: ['a', 'b', 'bin'] })
    assert.deepEqual(picture(folder), { ...last, ...mine })
    assert.deepEqual(events.filter((event) => event.type === 'reverted').map(({ step: at, toStep, by }) => [at, toStep, by]), [[2, 0, 'p'], [2, 0, 'p'], [2, 1, 'p'], [2, 2, 'p']])
  })

  it('a job that went back itself: its steps are what the folder was after them', async () => {
    const folder = bench.repository({ 'a': 'one\n' })
    const job = bench.job(folder)
    const place = await bench.open(job)
    bench.write(folder, { 'a': 'good\n' })
    const good = await keep(place, 1)
    bench.write(folder, { 'a': 'bad\n', 'b': 'bad\n' })
    const bad = await keep(place, 2)
    assert.equal(await place.port?.restore(good.commit), null)
    const back: JobEventBody = { type: 'reverted', step: 2, toStep: 1, commit: good.commit, by: 'the harness' }
    bench.anew()
    const again = await bench.open(job, [...place.events, step(1), good, step(2), bad, back])
    assert.deepEqual(again.events, [])
    bench.write(folder, { 'c': 'better\n' })
    const better = await keep(again, 3)
    const events = stamped([...place.events, step(1), good, step(2), bad, back, step(3), better, ...await again.deliver(3)])
    assert.deepEqual((await bench.workspaces.after.stat(job, events, null)).files.map(({ path }) => path), ['a', 'c'])
    assert.deepEqual((await bench.workspaces.after.stat(job, events, 3)).files.map(({ path }) => path), ['c'])
    assert.deepEqual(await undo(job, events, 2), { count: 1, files: ['c'] })
    assert.deepEqual(await undo(job, events, 0), { count: 1, files: ['a'] })
    assert.deepEqual(picture(folder), { 'a': '644 one\n' })
  })

  it('a chat that goes on after an undo: later steps, later undos and the diff count from there', async () => {
    const folder = bench.repository({ 'a': 'one\n' })
    const job = bench.job(folder)
    const place = await bench.open(job)
    bench.write(folder, { 'a': 'first\n' })
    const first = await keep(place, 1)
    const events = stamped([...place.events, step(1), first])
    assert.deepEqual(await undo(job, events, 0, false, false), { count: 1, files: ['a'] })
    assert.deepEqual((await bench.workspaces.after.stat(job, events, null)).files, [])
    assert.deepEqual(await undo(job, events, 1, false, false), { count: 1, files: ['a'] })
    assert.deepEqual(await undo(job, events, 0, false, false), { count: 1, files: ['a'] })
    bench.write(folder, { 'b': 'second\n' })
    events.push(...stamped([step(2), await keep(place, 2)]))
    assert.deepEqual((await bench.workspaces.after.stat(job, events, null)).files.map(({ path }) => path), ['b'])
    assert.deepEqual(await undo(job, events, 0, false, false), { count: 1, files: ['b'] })
    assert.deepEqual(picture(folder), { 'a': '644 one\n' })
  })

  it('refuses what was changed since, naming it; force puts it away and keeps it', async () => {
    const folder = bench.repository({ 'a': 'one\n', 'b': 'two\n' })
    const { job, events } = await ran(folder)
    writeFileSync(join(folder, 'a'), 'mine\n')
    const before = picture(folder)
    await assert.rejects(undo(job, events, 0), (error: Error & { fault?: { code: string } }) => {
      assert.equal(error.fault?.code, 'changed_since')
      assert.equal(error.message, '1 file that would be put back was changed after the job: a.')
      return true
    })
    assert.deepEqual(picture(folder), before)
    assert.equal((await undo(job, events, 0, true)).count, 4)
    assert.equal(readFileSync(join(folder, 'a'), 'utf8'), 'one\n')
    const log = sh(join(bench.root, 'state/kept', job.id), 'GIT_DIR=git git log -1 --format=%H --grep="before an undo"').trim()
    assert.equal(sh(join(bench.root, 'state/kept', job.id), `GIT_DIR=git git show ${log}:a`), 'mine\n')
  })

  it('an undo that was cut off in the middle is just done again', async () => {
    const folder = bench.repository({ 'a': 'one\n', 'b': 'two\n' })
    const { job, events } = await ran(folder)
    writeFileSync(join(folder, 'a'), 'one\n')
    rmSync(join(folder, 'bin'))
    assert.deepEqual(await undo(job, events, 0), { count: 2, files: ['b', 'new1'] })
  })

  it('the patch applies to the folder as it was, and a step has one of its own', async () => {
    const folder = bench.repository({ 'a': 'one\n', 'b': 'two\n' })
    const { job, events } = await ran(folder)
    const work = picture(folder)
    await undo(job, events, 0)
    // What the job did is asked for by its steps once it was undone.
    for (const at of [1, 2]) {
      writeFileSync(join(bench.root, 'step.patch'), await bytesOf(await bench.workspaces.after.patch(job, events, at)))
      sh(folder, `git apply ${join(bench.root, 'step.patch')}`)
    }
    assert.deepEqual(picture(folder), work)
    assert.deepEqual(await bench.workspaces.after.stat(job, events, 2), { files: [{ path: 'a', added: 1, removed: 1 }, { path: 'b', added: 0, removed: 1 }, { path: 'bin', added: null, removed: null }], added: 1, removed: 2 })
    await assert.rejects(bench.workspaces.after.stat(job, events, 3), /has the steps 1 to 2/)
  })
})

describe('a job in a copy', () => {
  let bench: Bench
  before(() => { bench = new Bench({ copyBytes: 2 ** 20 }) })
  after(() => bench.close())

  it('branch: the folder, its index and its branches stay; two commits say whose work is whose', async () => {
    const folder = bench.repository({ 'a': 'one\n', 'b': 'two\n', '.gitignore': 'out\n', 'out': 'o' })
    sh(folder, 'echo dirty >> a; echo new > new')
    const [first, owner] = [picture(folder), ownerSide(folder)]
    const job = bench.job(folder, 'branch')
    const place = await bench.open(job)
    assert.notEqual(place.path, folder)
    assert.deepEqual(picture(place.path), { 'a': '644 one\ndirty\n', 'b': '644 two\n', '.gitignore': '644 out\n', 'new': '644 new\n' })
    const inside = await place.sandbox.run({ argv: ['/bin/sh', '-c', 'git log --oneline | wc -l; git status --porcelain'], workspace: place.path, limits: { memoryBytes: 2 ** 29, pids: 64, wallMs: 20_000, outputBytes: 2 ** 20, tmpBytes: 2 ** 20, fileBytes: 2 ** 20 }, captureBytes: 4096 }, new AbortController().signal)
    assert.equal(inside.ok && inside.stdout.text, '1\n M a\n?? new\n')
    bench.write(place.path, { 'b': 'the job\n', 'd/e': 'made\n' })
    const kept = await keep(place, 1)
    const delivered = await place.deliver(1)
    assert.deepEqual(delivered, [{ type: 'delivered', how: 'branch', to: `hearth/${job.id}`, files: 2 }])
    assert.ok(existsSync(place.path), 'until its end is stored, the job may have to go on')
    await bench.workspaces.over(job.id)
    assert.ok(!existsSync(place.path))
    assert.deepEqual(picture(folder), first)
    const branch = `refs/heads/hearth/${job.id}`
    assert.equal(sh(folder, `git log --format=%s --name-only main..${branch}`), 'Mend it.\n\nb\nd/e\nWork that was not committed when job job1 began\n\na\nnew\n')
    assert.equal(sh(folder, `git rev-parse ${branch}~2 `), sh(folder, 'git rev-parse main'))
    assert.equal(sh(folder, 'git fsck --no-dangling 2>&1'), '')
    sh(folder, `git update-ref -d ${branch}`)
    assert.equal(ownerSide(folder), owner)
    const patch = await bytesOf(await bench.workspaces.after.patch(job, stamped([...place.events, step(1), kept]), null))
    writeFileSync(join(bench.root, 'p'), patch)
    assert.equal(sh(folder, `git apply ${join(bench.root, 'p')} && cat b d/e`), 'the job\nmade\n')
  })

  it('HEAD that moved meanwhile does not matter, and a branch that cannot be made is a patch', async () => {
    const folder = bench.repository({ 'a': 'one\n' })
    const jobs = [bench.job(folder, 'branch'), bench.job(folder, 'branch')]
    for (const [index, job] of jobs.entries()) {
      const place = await bench.open(job)
      bench.write(place.path, { 'b': 'work\n' })
      sh(folder, `echo ${index} > later; git add later; git commit -qm later`)
      if (index === 1) sh(folder, 'git branch -m hearth/job2 x; git branch hearth')
      const delivered = await place.deliver(1)
      if (index === 0) assert.equal(sh(folder, `git diff --name-only main~1 hearth/${job.id}`), 'b\n')
      else assert.match(JSON.stringify(delivered.at(-1)), /"how":"diff","to":"[^"]*result.patch","files":1,"why":"no branch: git ended with/)
    }
  })

  it('a restart goes on in the same copy, and the tools see the same objects', async () => {
    const folder = bench.repository({ 'a': 'one\n' })
    const job = bench.job(folder, 'branch')
    const place = await bench.open(job)
    bench.write(place.path, { 'a': 'two\n' })
    const kept = await keep(place, 1)
    bench.anew()
    const again = await bench.open(job, [...place.events, step(1), kept])
    assert.deepEqual([again.path, again.events], [place.path, []])
    const seen = await again.sandbox.run({ argv: ['git', 'show', 'HEAD:a'], workspace: again.path, limits: { memoryBytes: 2 ** 29, pids: 64, wallMs: 20_000, outputBytes: 2 ** 20, tmpBytes: 2 ** 20, fileBytes: 2 ** 20 }, captureBytes: 4096 }, new AbortController().signal)
    assert.equal(seen.ok && seen.stdout.text, 'one\n')
    assert.deepEqual((await again.deliver(2)).map((event) => event.type === 'delivered' && [event.how, event.files]), [['branch', 1]])
  })

  it('a job that was killed between handing over and its end goes on in its copy, and hands the same over again', async () => {
    for (const result of ['branch', 'diff'] as const) {
      const folder = bench.repository({ 'a': 'one\n' })
      sh(folder, 'echo dirty > b')
      const job = bench.job(folder, result)
      const place = await bench.open(job)
      bench.write(place.path, { 'a': 'two\n' })
      const kept = await keep(place, 1)
      const first = await place.deliver(1)
      const owner = ownerSide(folder)
      bench.anew()
      const again = await bench.open(job, [...place.events, step(1), kept])
      assert.deepEqual(await again.deliver(1), first)
      assert.equal(ownerSide(folder), owner)
      await bench.workspaces.over(job.id)
      assert.ok(!existsSync(place.path))
    }
  })

  it('a branch that is there with other content stays as it is', async () => {
    const folder = bench.repository({ 'a': 'one\n' })
    const job = bench.job(folder, 'branch')
    const place = await bench.open(job)
    bench.write(place.path, { 'a': 'two\n' })
    sh(folder, `git branch hearth/${job.id}`)
    const owner = ownerSide(folder)
    assert.match(JSON.stringify((await place.deliver(1)).at(-1)), /"how":"diff",.*"why":"no branch: git ended with/)
    assert.equal(ownerSide(folder), owner)
  })

  it('diff of a folder without git; too large a folder is refused with the numbers', async () => {
    const folder = bench.folder({ 'a': 'one\n', 'node_modules/m': 'm' })
    symlinkSync('/etc', join(folder, 'link'))
    const job = bench.job(folder, 'diff')
    const place = await bench.open(job)
    assert.deepEqual(place.events.map((event) => event.type === 'workspace' && event.kind), ['copy'])
    assert.deepEqual(picture(place.path), picture(folder))
    bench.write(place.path, { 'a': 'two\n' })
    const [, delivered] = await place.deliver(1)
    const file = delivered?.type === 'delivered' ? delivered.to : ''
    assert.equal(sh(folder, `git apply ${file} && cat a`), 'two\n')
    bench.write(folder, { 'large': Buffer.alloc(2 ** 21) })
    const refused = await bench.workspaces.open(bench.job(folder, 'diff'), [], new AbortController().signal)
    assert.ok('fault' in refused)
    assert.match(refused.fault.message, /^The job cannot have a copy of .*: it is no git repository and has 0\.0 GiB in \d+ files and folders, and at most 0\.0 GiB are copied\.$/)
  })
})

describe('what is kept does not stay for ever', () => {
  it('old states go, then the oldest above the bytes, then what belongs to no job; a live job keeps its own', async () => {
    const bench = new Bench({ keepDays: 10, keepBytes: 300_000 })
    try {
      const folder = bench.folder({ 'a': Buffer.from(Array.from({ length: 200_000 }, () => Math.floor(Math.random() * 256))) })
      const day = 86_400_000
      const ended: Record<string, number | null> = { job1: 0, job2: 30 * day, job3: 31 * day, job4: null }
      for (let n = 1; n <= 5; n++) await (await bench.open(bench.job(folder))).deliver(1)
      await bench.workspaces.keeper.prune((id) => ended[id], 32 * day)
      assert.deepEqual(readdirSync(join(bench.root, 'state/kept')).toSorted(), ['job3', 'job3.json', 'job4', 'job4.json'])
      const gone = bench.job(folder)
      await assert.rejects(bench.workspaces.after.stat({ ...gone, id: 'job2' }, stamped([{ type: 'workspace', kind: 'in_place', path: folder, base: 'a'.repeat(40), detail: '' }]), null), /they were removed \(workspace\.keepDays, workspace\.keepBytes\)/)
    } finally {
      await bench.close()
    }
  })

  // For an ordinary user there is no such case: folders of others are refused before.
  if (process.getuid?.() === 0) it('a folder of another user under a daemon of root has none, and its job works', async () => {
    const bench = new Bench()
    try {
      const folder = bench.repository({ 'a': 'a' })
      execFileSync('chown', ['-R', '1000:1000', folder])
      const place = await bench.open(bench.job(folder))
      assert.deepEqual(place.events, [{ type: 'workspace', kind: 'in_place', path: folder, base: null, detail: 'no diff and no undo: the folder belongs to another user (uid 1000) and the daemon is root' }])
      assert.deepEqual(await place.deliver(1), [])
    } finally {
      await bench.close()
    }
  })
})

describe('a hostile folder', () => {
  let bench: Bench
  before(() => { bench = new Bench() })
  after(() => bench.close())

  it('no program that its configuration, hooks, attributes or submodules name is run, and nothing of another repository is read', async () => {
    const witness = join(bench.root, 'witness')
    const inside = 'touch /work/WITNESS'
    const folder = bench.repository({ 'a': 'one\n', 'x.evil': 'x\n', '.gitmodules': '[submodule "mod"]\n\tpath = mod\n\turl = ext::sh -c touch% /work/WITNESS\n\tupdate = !touch /work/WITNESS\n' })
    sh(folder, 'mkdir mod; cd mod; git init -q .; git -c user.name=a -c user.email=b commit -q --allow-empty -m x; cd ..; git add -A; git commit -qm mod')
    const evil = `[core]\n\tfsmonitor = "${inside}; touch ${witness}"\n\thooksPath = /work/hooks\n\tsshCommand = ${inside}\n\tpager = ${inside}\n\teditor = ${inside}\n\talternateRefsCommand = ${inside}\n[filter "evil"]\n\tclean = "${inside}; touch ${witness}; cat"\n\tsmudge = "${inside}; cat"\n\tprocess = ${inside}\n\trequired = true\n[diff "evil"]\n\ttextconv = "${inside}; touch ${witness}; cat"\n\tcommand = ${inside}\n[diff]\n\texternal = ${inside}\n[merge "evil"]\n\tdriver = ${inside}\n[gpg]\n\tprogram = ${inside}\n[commit]\n\tgpgSign = true\n[credential]\n\thelper = "!${inside}"\n[include]\n\tpath = /etc/shadow\n`
    bench.write(folder, {
      '.gitattributes': '* filter=evil diff=evil merge=evil text eol=crlf working-tree-encoding=UTF-16 ident export-subst\n', 'hooks/post-commit': `#!/bin/sh\n${inside}\n`, 'hooks/reference-transaction': `#!/bin/sh\n${inside}\n`,
      'hooks/post-index-change': `#!/bin/sh\n${inside}\n`, 'hooks/fsmonitor-watchman': `#!/bin/sh\n${inside}\n`,
    })
    for (const name of readdirSync(join(folder, 'hooks'))) {
      chmodSync(join(folder, 'hooks', name), 0o755)
      writeFileSync(join(folder, '.git/hooks', name), `#!/bin/sh\n${inside}\n`, { mode: 0o755 })
    }
    for (const config of ['.git/config', 'mod/.git/config']) writeFileSync(join(folder, config), `${readFileSync(join(folder, config), 'utf8')}${evil}`)
    writeFileSync(join(folder, '.git/info/attributes'), '* filter=evil diff=evil\n')
    for (const result of ['in_place', 'branch', 'diff'] as const) {
      const job = bench.job(folder, result)
      const place = await bench.open(job)
      bench.write(place.path, { 'a': `two ${result}\n`, 'x.evil': `y ${result}\n`, 'mod/file': 'm' })
      const kept = await keep(place, 1)
      assert.ok(kept.files >= 2)
      assert.equal(await place.port?.restore(place.port.base ?? ''), null)
      bench.write(place.path, { 'a': `two ${result}\n` })
      await place.deliver(1)
      await bytesOf(await bench.workspaces.after.patch(job, stamped([...place.events, step(1), kept]), 1))
      assert.ok(!existsSync(join(folder, 'WITNESS')) && !existsSync(join(place.path, 'WITNESS')) && !existsSync(witness), result)
    }
  })

  it('pipes under the names that git reads keep no step waiting', async () => {
    const folder = bench.repository({ 'a': 'a', 'deep/b': 'b', '.gitattributes': '* text\n' })
    const place = await bench.open(bench.job(folder))
    sh(folder, 'rm .gitattributes; mkfifo .gitattributes .gitignore deep/.gitignore deep/.gitattributes; echo c > deep/b; echo new > deep/c')
    assert.equal((await keep(place, 1)).files, 3)
    sh(folder, 'rm deep/b')
    assert.equal((await keep(place, 2)).files, 1)
    assert.equal(await place.port?.restore(place.port.base ?? ''), null)
    assert.equal(readFileSync(join(folder, '.gitattributes'), 'utf8'), '* text\n')
  })

  it('a .git that leads elsewhere is not followed', async () => {
    const secret = bench.repository({ 'secret.txt': 'the secret\n' })
    for (const prepare of [
      (folder: string) => writeFileSync(join(folder, '.git'), `gitdir: ${secret}/.git\n`),
      (folder: string) => symlinkSync(join(secret, '.git'), join(folder, '.git')),
      // A worktree that leads back, as linked ones do, and says that its objects and refs are another repository's.
      (folder: string) => {
        bench.write(folder, { '.git': 'gitdir: own\n', 'own/gitdir': join(folder, '.git'), 'own/commondir': join(secret, '.git'), 'own/HEAD': 'ref: refs/heads/main\n' })
        sh(folder, `cp ${secret}/.git/index own/index`)
      },
      (folder: string) => { sh(folder, 'git init -q .'); rmSync(join(folder, '.git/objects'), { recursive: true }); symlinkSync(join(secret, '.git/objects'), join(folder, '.git/objects')) },
      (folder: string) => { sh(folder, 'git init -q .'); writeFileSync(join(folder, '.git/objects/info/alternates'), `${secret}/.git/objects\n`); sh(folder, `cp ${secret}/.git/index .git/index`) },
      (folder: string) => { sh(folder, 'git init -q .'); writeFileSync(join(folder, '.git/commondir'), `${secret}/.git\n`) },
      (folder: string) => { sh(folder, 'git init -q .'); writeFileSync(join(folder, '.git/config'), `[core]\n\tworktree = ${secret}\n`) },
    ]) {
      const folder = bench.folder({ 'a': 'one\n' })
      prepare(folder)
      const place = await bench.workspaces.open(bench.job(folder, 'diff'), [], new AbortController().signal)
      if ('fault' in place) continue
      assert.ok(!('secret.txt' in picture(place.path)))
      const seen = await place.sandbox.run({ argv: ['/bin/sh', '-c', 'ls /objects 2>/dev/null; ls /shadow /refs 2>/dev/null; find / -name secret.txt 2>/dev/null'], workspace: place.path, limits: { memoryBytes: 2 ** 29, pids: 64, wallMs: 20_000, outputBytes: 2 ** 20, tmpBytes: 2 ** 20, fileBytes: 2 ** 20 }, captureBytes: 4096 }, new AbortController().signal)
      assert.equal(seen.ok && seen.stdout.text, '')
      assert.equal(statSync(join(secret, 'secret.txt')).size, 11)
    }
  })

  it('a list of refs that is a link is not read: it may have no end', async () => {
    const folder = bench.repository({ 'a': 'one\n' })
    const other = bench.repository({ 'b': 'two\n' })
    sh(other, 'git pack-refs --all')
    rmSync(join(folder, '.git/refs/heads/main'))
    symlinkSync(join(other, '.git/packed-refs'), join(folder, '.git/packed-refs'))
    const source = await sourceOf(folder)
    assert.deepEqual(source.kind === 'git' && await headOf(source), { branch: 'refs/heads/main', commit: null })
  })

  it('a note beside the states that was cut off by a crash is no reason to fail', async () => {
    const folder = bench.folder({ 'a': 'one\n' })
    const job = bench.job(folder)
    const place = await bench.open(job)
    writeFileSync(join(bench.root, 'state/kept', `${job.id}.json`), '{"head":')
    const again = await bench.anew().open(job, place.events, new AbortController().signal)
    assert.ok(!('fault' in again) && again.port !== null)
  })

  it("a run of the daemon's own has no more rights than a tool's, and its folders stand beside the system's", async () => {
    const run = { argv: ['/bin/sh', '-c', 'grep -hE "Cap(Eff|Prm|Bnd)|NoNew" /proc/self/status; echo x > /proc/sys/kernel/core_pattern; echo x > /ro/x; cat /ro/a'], workspace: bench.folder(), ownIds: true, mounts: [{ from: bench.folder({ 'a': 'seen\n' }), to: '/ro', writable: false }], captureBytes: 4096, limits: { memoryBytes: 2 ** 29, pids: 64, wallMs: 20_000, outputBytes: 2 ** 20, tmpBytes: 2 ** 20, fileBytes: 2 ** 20 } }
    const seen = await bench.sandbox.run(run, new AbortController().signal)
    const none = '0000000000000000'
    assert.equal(seen.ok && seen.stdout.text, `CapPrm:\t${none}\nCapEff:\t${none}\nCapBnd:\t${none}\nNoNewPrivs:\t1\nseen\n`)
    assert.equal(seen.ok && seen.stderr.text.match(/Read-only file system/g)?.length, 2)
    for (const to of ['/usr', '/work', '/etc', '/work/x', 'x', '/../etc']) {
      const refused = await bench.sandbox.run({ ...run, mounts: [{ from: bench.root, to, writable: true }] }, new AbortController().signal)
      assert.ok(!refused.ok && refused.fault.message.includes('is not a free name at the root'), to)
    }
  })

  it('the tools of a job cannot reach its kept states, and links out of the folder are not followed', async () => {
    const folder = bench.repository({ 'a': 'one\n', 'd/f': 'f\n' })
    const outside = bench.folder({ 'f': 'outside\n' })
    const place = await bench.open(bench.job(folder))
    const seen = await place.sandbox.run({ argv: ['/bin/sh', '-c', `ls -d /shadow ${join(bench.root, 'state')} 2>&1; env | grep GIT`], workspace: folder, limits: { memoryBytes: 2 ** 29, pids: 64, wallMs: 20_000, outputBytes: 2 ** 20, tmpBytes: 2 ** 20, fileBytes: 2 ** 20 }, captureBytes: 4096 }, new AbortController().signal)
    assert.match(seen.ok ? seen.stdout.text : '', /^ls: cannot access '\/shadow': No such file or directory\nls: cannot access '.*state': No such file or directory\n$/)
    rmSync(join(folder, 'd'), { recursive: true })
    symlinkSync(outside, join(folder, 'd'))
    await keep(place, 1)
    assert.equal(await place.port?.restore(place.port.base ?? ''), null)
    assert.equal(readFileSync(join(outside, 'f'), 'utf8'), 'outside\n')
    assert.equal(readFileSync(join(folder, 'd/f'), 'utf8'), 'f\n')
  })
})
