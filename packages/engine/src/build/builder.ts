// Owns one build from wish to finished folder: tools, disk, source out of the library's own bundle, cmake, ninja, a try, a rename. No network anywhere.
// What is half made lies in a folder of its own and is gone at the end, whatever the end was; what a killed daemon left goes at the next start.
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fault, FaultError, faultFrom, type BuildEvent, type BuildManifest, type BuildRequest, type Confine } from '@hearth/protocol'
import { freeBytesOf, makePrivate, requireSpace, writeJson } from '../catalog/durable.ts'
import { lockModel } from '../catalog/lock.ts'
import { libraryFolder } from '../local/own-build.ts'
import { Probes } from '../server/child.ts'
import { refusal } from '../server/flags.ts'
import { building, libraryVersion, serverProgram } from './builds.ts'
import { cmakeArguments, cmakeFlags, defaultGpuTarget, etaMs, lastLines, missingFault, neededBytes, ninjaStep, ninjaTargets, refusedSource } from './recipe.ts'
import { runStep, type StepEnd } from './step.ts'
import { findTools, type Tools } from './tools.ts'

export type BuilderOptions = {
  /** Folder of the finished builds; made when it is not there. */
  folder: string
  /** Folder of the checkout: the library with its source bundle is below it. */
  root: string
  /** Null: the owner accepts that the compilers run unconfined. */
  confine: Confine | null
  /** The node binary that tries the library. */
  node: string
  /** PATH, ROCM_PATH, AMDGPU_TARGETS and nothing else is read of it. */
  env: Readonly<Record<string, string | undefined>>
  /** Where headers are looked for: `/`, or a made tree in a test. */
  hostRoot?: string
}

type Tell = (event: BuildEvent) => void
/**
 * `dir`: where the programs of this build write. `result`: where the daemon collects; no program of the build may write there, as a link it left would lead
 * the daemon out of its folder. `env`: what they find in their environment beside the usual.
 */
type Work = { request: BuildRequest; tools: Tools; dir: string; result: string; signal: AbortSignal; tell: Tell; env: Record<string, string> }

const aborted = (): FaultError => new FaultError(fault('cancelled', { by: 'whoever asked for the build; nothing of it is left' }))

export class Builder {
  readonly #options: BuilderOptions

  constructor(options: BuilderOptions) {
    this.#options = options
  }

  /** Says what happens and ends with one `done` or `failed`. Leaving early, or aborting, stops it; it is over when the generator is. */
  async *build(request: BuildRequest, signal: AbortSignal): AsyncGenerator<BuildEvent, void, void> {
    const told: BuildEvent[] = []
    let wake = (): void => undefined
    const leave = new AbortController()
    const tell: Tell = (event) => {
      told.push(event)
      wake()
    }
    const over = this.#build(request, AbortSignal.any([signal, leave.signal]), tell)
      .then((build) => tell({ type: 'done', build }), (error: unknown) => tell({ type: 'failed', fault: faultFrom(error) }))
    try {
      for (;;) {
        const event = told.shift()
        if (event === undefined) await new Promise<void>((resolve) => {
          wake = resolve
          if (told.length > 0) resolve()
        })
        else {
          yield event
          if (event.type === 'done' || event.type === 'failed') return
        }
      }
    } finally {
      leave.abort()
      await over
    }
  }

  async #build(request: BuildRequest, signal: AbortSignal, tell: Tell): Promise<BuildManifest> {
    const { folder, env } = this.#options
    const tools = findTools(request.backend, env['PATH'] ?? '', this.#options.hostRoot)
    if (tools.missing.length > 0) throw new FaultError(missingFault(request.backend, tools.missing))
    await makePrivate(folder)
    await requireSpace(folder, neededBytes[request.backend], freeBytesOf)
    const unlock = await lockModel(folder, 'build', 'A build is under way; wait for it, or stop it with Ctrl-C where it was started.')
    try {
      for (const name of readdirSync(folder)) if (name.startsWith('.')) await rm(join(folder, name), { recursive: true, force: true, maxRetries: 3 })
      const dir = await mkdtemp(join(folder, building))
      const result = await mkdtemp(join(folder, building))
      try {
        return await this.#make({ request, tools, dir, result, signal, tell, env: {} })
      } finally {
        // A compiler that was killed a moment ago may still have a file open.
        for (const made of [dir, result]) await rm(made, { recursive: true, force: true, maxRetries: 5 })
      }
    } finally {
      await unlock()
    }
  }

  async #make(work: Work): Promise<BuildManifest> {
    const { request: { backend, targets }, tools, dir, result, signal, tell } = work
    const startedAt = Date.now()
    const { commit, release } = await this.#source(work)
    tell({ type: 'step', step: 'configure', text: `configuring llama.cpp ${release} for ${backend}` })
    if (backend === 'hip') Object.assign(work.env, await this.#rocm(work))
    const flags = cmakeFlags(backend, targets, this.#gpuTarget)
    const places = { source: join(dir, 'source'), build: join(dir, 'build'), headers: this.#headers() }
    await this.#run(work, 'cmake', [this.#tool(tools, 'cmake'), ...cmakeArguments(backend, targets, places, this.#gpuTarget)])
    await this.#compile(work)
    const compiler = (await this.#run(work, 'c++', [this.#tool(tools, 'c++'), '--version']))[0] ?? 'unknown'
    await this.#collect(work, release)
    tell({ type: 'step', step: 'check', text: 'trying what was built' })
    const library = libraryVersion(this.#options.root) ?? 'unknown'
    await this.#try(work)
    if (signal.aborted) throw aborted()
    const files = await summed(result)
    const name = this.#freeName(`${backend}-${release}`.toLowerCase().replace(/[^a-z0-9._-]/g, '-'))
    const manifest: BuildManifest = {
      version: 1, name, backend, targets: [...targets], release, commit, library, flags, compiler, builtAt: Date.now(), buildMs: Date.now() - startedAt,
      readOnlyPaths: backend === 'hip' ? [...tools.outside] : [], bytes: files.reduce((sum, file) => sum + file.bytes, 0), files,
    }
    await writeJson(join(result, 'manifest.json'), manifest)
    await rename(result, join(this.#options.folder, name))
    return manifest
  }

  /** Our project: the addon's own cmake files, with the bundled llama.cpp beside them as they expect it, mended as the library mends it. */
  async #source(work: Work): Promise<{ commit: string; release: string }> {
    const { request: { backend }, tools, dir, tell } = work
    const llama = this.#llama()
    const { release } = JSON.parse(readFileSync(join(llama, 'binariesGithubRelease.json'), 'utf8')) as { release: string }
    tell({ type: 'step', step: 'source', text: `unpacking llama.cpp ${release} from the bundle in node-llama-cpp` })
    const source = join(dir, 'source')
    for (const folder of [source, join(dir, 'build'), join(dir, 'tmp')]) await mkdir(folder)
    for (const name of ['CMakeLists.txt', 'cmake', 'addon']) await cp(join(llama, name), join(source, name), { recursive: true })
    const git = this.#tool(tools, 'git')
    const tree = join(source, 'llama.cpp')
    await this.#run(work, 'git', [git, 'clone', '--quiet', join(llama, 'gitRelease.bundle'), tree])
    const [commit = '', date = ''] = ((await this.#run(work, 'git', [git, '-C', tree, 'log', '-1', '--format=%H %cI']))[0] ?? '').split(' ')
    const refused = refusedSource(backend, Date.parse(date))
    if (refused !== null) throw new FaultError(refused)
    const patches = join(llama, 'patches')
    for (const name of existsSync(patches) ? readdirSync(patches).filter((one) => one.endsWith('.diff')).toSorted() : []) {
      const patched = await this.#step(work, [git, '-C', tree, 'apply', '--ignore-whitespace', join(patches, name)])
      if (patched === 'aborted') throw aborted()
      // As the library does it: a patch that does not apply is usually in the source already.
      if ('fault' in patched || !patched.ok) tell({ type: 'note', text: `the patch ${name} does not apply; going on without` })
    }
    return { commit, release }
  }

  /** ROCm's compiler and folder as hipconfig names them: llama.cpp's own instructions want both told, as cmake finds another clang first. */
  async #rocm(work: Work): Promise<Record<string, string>> {
    const said = async (flag: string): Promise<string> => (await this.#run(work, 'hipconfig', [this.#tool(work.tools, 'hipconfig'), flag])).join('').trim()
    return { HIPCXX: join(await said('-l'), 'clang'), HIP_PATH: await said('-R') }
  }

  async #compile(work: Work): Promise<void> {
    const { request: { backend, targets, jobs }, tools, dir, tell } = work
    const parallel = jobs ?? Math.max(1, availableParallelism() - 1)
    tell({ type: 'step', step: 'compile', text: `compiling for ${backend} at low priority, ${parallel} at a time` })
    const startedAt = performance.now()
    await this.#run(work, 'ninja', [this.#tool(tools, 'ninja'), '-C', join(dir, 'build'), '-j', String(parallel), ...ninjaTargets(targets)], (line) => {
      const step = ninjaStep(line)
      if (step !== null) tell({ type: 'progress', ...step, etaMs: etaMs(step, performance.now() - startedAt) })
    })
  }

  /** Programs and libraries go out of the build tree; the library's own folder of binaries is a link to the same files. */
  async #collect({ request: { backend, targets }, dir, result }: Work, release: string): Promise<void> {
    const from = join(dir, 'build/bin')
    const bin = join(result, 'bin')
    await mkdir(bin)
    const wanted = (name: string): boolean => /\.so(\.|$)/.test(name) || name === 'llama-server' || name === 'llama-addon.node'
    for (const name of (await readdir(from)).filter(wanted)) await cp(join(from, name), join(bin, name), { verbatimSymlinks: true })
    if (!targets.includes('library')) return
    const folder = libraryFolder(backend, process.arch)
    await mkdir(join(result, 'library'))
    await symlink('../bin', join(result, 'library', folder))
    // The library reads what a binary was made for; another system's name makes it try the binary in a process of its own first, which is what we want.
    await writeFile(join(bin, '_nlcBuildMetadata.json'), JSON.stringify({
      buildOptions: {
        customCmakeOptions: {}, progressLogs: false, platform: 'linux', platformInfo: { name: 'Linux', version: '' }, arch: process.arch,
        gpu: backend === 'cpu' ? false : backend === 'vulkan' ? 'vulkan' : 'cuda', llamaCpp: { repo: 'ggml-org/llama.cpp', release },
      },
    }))
  }

  /** What was built must at least say what it is: the server in the way every server is probed, the library by being loaded. */
  async #try(work: Work): Promise<void> {
    const { request: { backend, targets }, tools, result } = work
    const { confine, node } = this.#options
    if (targets.includes('server')) {
      const program = join(result, serverProgram)
      const probe = await new Probes().of(program, { confine, readOnly: [result, ...tools.outside], gpu: false, env: {} })
      if ('fault' in probe) throw new FaultError(probe.fault)
      if ('problem' in probe) throw failed(work, 'the new llama-server', 'is not usable', [probe.problem])
      const refused = refusal(program, probe)
      if (refused !== null) throw new FaultError(refused)
    }
    if (targets.includes('library')) {
      const addon = join(result, 'library', libraryFolder(backend, process.arch), 'llama-addon.node')
      const binary = realpathSync(node)
      const look = `try { if (typeof require(${JSON.stringify(addon)}).getGpuType !== 'function') throw new Error('it is no llama addon') } catch (error) { console.error(error.message); process.exit(1) }`
      await this.#run(work, 'loading the new library', [binary, '-e', look], undefined, [binary, result])
    }
  }

  #step({ tools, dir, signal, env: more }: Work, argv: readonly string[], onLine?: (line: string) => void, readOnly: readonly string[] = []): Promise<StepEnd> {
    const { env, confine } = this.#options
    const path = [...new Set([...[...tools.programs.values()].map(dirname), '/usr/bin', '/bin'])].join(':')
    const rocm = env['ROCM_PATH']
    return runStep({
      argv, readWrite: [dir],
      readOnly: [this.#llama(), ...this.#headers(), ...tools.outside, ...(rocm?.startsWith('/opt/') === true ? [rocm] : []), ...readOnly],
      env: { PATH: path, HOME: '/tmp', TMPDIR: join(dir, 'tmp'), LANG: 'C', ...(rocm === undefined ? {} : { ROCM_PATH: rocm }), ...more },
    }, confine, signal, onLine)
  }

  async #run(work: Work, what: string, argv: readonly string[], onLine?: (line: string) => void, readOnly: readonly string[] = []): Promise<readonly string[]> {
    const end = await this.#step(work, argv, onLine, readOnly)
    if (end === 'aborted') throw aborted()
    if ('fault' in end) throw new FaultError(end.fault)
    if (!end.ok) throw failed(work, what, end.how, lastLines(end.lines))
    return end.lines
  }

  #tool(tools: Tools, name: string): string {
    const path = tools.programs.get(name)
    if (path === undefined) throw new Error(`${name} was not looked for`)
    return path
  }

  #llama(): string {
    const path = join(this.#options.root, 'node_modules/node-llama-cpp/llama')
    if (!existsSync(join(path, 'gitRelease.bundle'))) {
      throw new FaultError(fault('build_refused', { backend: 'local', why: 'the source bundle of node-llama-cpp is not in this installation', remedy: 'Install Hearth again from its release.' }))
    }
    return realpathSync(path)
  }

  /** Headers of Node's stable interface, which came with the library's dependencies. */
  #headers(): string[] {
    return ['node-addon-api', 'node-api-headers/include'].map((name) => realpathSync(join(this.#options.root, 'node_modules', name)))
  }

  get #gpuTarget(): string {
    return this.#options.env['AMDGPU_TARGETS'] ?? defaultGpuTarget
  }

  #freeName(wish: string): string {
    for (let n = 1; ; n++) {
      const name = n === 1 ? wish : `${wish}-${n}`
      if (!existsSync(join(this.#options.folder, name))) return name
    }
  }
}

function failed({ request }: Work, step: string, how: string, lines: readonly string[]): FaultError {
  return new FaultError(fault('build_failed', { backend: request.backend, step, how, lastLines: [...lines] }))
}

/** Every regular file below the folder, with size and sum; links are part of the layout, not files of their own. */
async function summed(folder: string): Promise<BuildManifest['files']> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).filter((path) => !path.startsWith(join(folder, 'library/'))).toSorted()
  const found: BuildManifest['files'] = []
  for (const path of files) {
    const hash = createHash('sha256')
    await pipeline(createReadStream(path), hash)
    found.push({ path: path.slice(folder.length + 1), bytes: statSync(path).size, sha256: hash.digest('hex') })
  }
  return found
}
