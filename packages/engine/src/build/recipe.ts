// Owns what a build is made of: programs and packages it needs, what cmake is given, what ninja's lines mean, which source is refused. Pure; runs nothing.
import { fault, type BuildBackend, type BuildTarget, type Fault } from '@hearth/protocol'

/** Strix Halo; other AMD GPUs take their own name through the AMDGPU_TARGETS of the daemon's environment. */
export const defaultGpuTarget = 'gfx1151'

export type Need = {
  /** A program looked for on the PATH, or something else that has a file. */
  what: string
  /** Any of them will do: the name of a program, or absolute paths (a `*` stands for one folder). */
  program?: string
  files?: readonly string[]
  debian: string
  fedora: string
}

const base: readonly Need[] = [
  { what: 'git', program: 'git', debian: 'git', fedora: 'git' },
  { what: 'cmake', program: 'cmake', debian: 'cmake', fedora: 'cmake' },
  { what: 'ninja', program: 'ninja', debian: 'ninja-build', fedora: 'ninja-build' },
  { what: 'c++', program: 'c++', debian: 'g++', fedora: 'gcc-c++' },
]

const vulkan: readonly Need[] = [
  { what: 'glslc', program: 'glslc', debian: 'glslc', fedora: 'glslc' },
  { what: 'the Vulkan headers', files: ['/usr/include/vulkan/vulkan.hpp'], debian: 'libvulkan-dev', fedora: 'vulkan-headers vulkan-loader-devel' },
  {
    what: 'the SPIR-V headers', debian: 'spirv-headers', fedora: 'spirv-headers-devel',
    files: ['/usr/share/cmake/SPIRV-Headers', '/usr/lib/cmake/SPIRV-Headers', '/usr/lib64/cmake/SPIRV-Headers', '/usr/lib/*/cmake/SPIRV-Headers'],
  },
]

const hip: readonly Need[] = [
  { what: 'hipcc', program: 'hipcc', debian: 'hipcc', fedora: 'hipcc' },
  { what: 'hipconfig', program: 'hipconfig', debian: 'hipcc', fedora: 'hipcc' },
  { what: 'hipBLAS', files: libraryFiles('hipblas'), debian: 'libhipblas-dev', fedora: 'hipblas-devel' },
  { what: 'rocBLAS', files: libraryFiles('rocblas'), debian: 'librocblas-dev', fedora: 'rocblas-devel' },
]

function libraryFiles(name: string): string[] {
  return ['/usr/lib', '/usr/lib64', '/usr/lib/*', '/opt/rocm/lib', '/opt/rocm/lib64'].map((folder) => `${folder}/cmake/${name}`)
}

export function needsOf(backend: BuildBackend): readonly Need[] {
  return backend === 'cpu' ? base : [...base, ...(backend === 'vulkan' ? vulkan : hip)]
}

/** One sentence of what is missing, and the commands that install it. */
export function missingFault(backend: BuildBackend, missing: readonly Need[]): Fault {
  const names = missing.map((need) => need.what)
  const said = names.length === 1 ? `${names[0]} is missing` : `${names.slice(0, -1).join(', ')} and ${names.at(-1)} are missing`
  const packages = (of: (need: Need) => string): string => [...new Set(missing.map(of))].join(' ')
  const amd = backend === 'hip' ? " AMD's own ROCm packages (7.2 or later, in /opt/rocm) do as well." : ''
  return fault('build_tools', {
    backend, missing: [said],
    install: `Debian, Ubuntu: apt-get install ${packages((need) => need.debian)}. Fedora: dnf install ${packages((need) => need.fedora)}.${amd}`,
  })
}

/**
 * Free disk wanted before the start. cpu: 175 MB were measured for clone, tree and objects, plus what is copied out. The others are
 * guesses with room: hundreds of shader variants, and kernels for each quantisation.
 */
export const neededBytes: Readonly<Record<BuildBackend, number>> = { cpu: 512 * 2 ** 20, vulkan: 2 * 2 ** 30, hip: 6 * 2 ** 30 }

export type Places = { source: string; build: string; headers: readonly string[] }

/** Arguments of the configuration. Nothing in it may reach for the network: no curl, no TLS library fetched, no page of the server fetched. */
export function cmakeArguments(backend: BuildBackend, targets: readonly BuildTarget[], places: Places, gpuTarget: string): string[] {
  return ['-S', places.source, '-B', places.build, '-G', 'Ninja', ...cmakeFlags(backend, targets, gpuTarget),
    // The addon's project wants to hear of the headers from cmake-js; a list, as cmake writes it.
    `-DCMAKE_JS_INC=${places.headers.join(';')}`, `-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=${places.build}/bin`]
}

/** The part of the arguments that says what is built: the same on every box. */
export function cmakeFlags(backend: BuildBackend, targets: readonly BuildTarget[], gpuTarget: string): string[] {
  const server = targets.includes('server') ? 'ON' : 'OFF'
  return [
    '-DCMAKE_BUILD_TYPE=Release', '-DGGML_NATIVE=ON', '-DGGML_CCACHE=OFF', '-DLLAMA_OPENSSL=OFF', '-DLLAMA_BUILD_BORINGSSL=OFF',
    '-DLLAMA_BUILD_TESTS=OFF', '-DLLAMA_BUILD_EXAMPLES=OFF', '-DLLAMA_BUILD_APP=OFF', '-DLLAMA_BUILD_UI=OFF', '-DLLAMA_USE_PREBUILT_UI=OFF',
    `-DLLAMA_BUILD_TOOLS=${server}`, `-DLLAMA_BUILD_SERVER=${server}`,
    ...(backend === 'vulkan' ? ['-DGGML_VULKAN=ON'] : backend === 'hip' ? ['-DGGML_HIP=ON', `-DAMDGPU_TARGETS=${gpuTarget}`] : []),
  ]
}

export function ninjaTargets(targets: readonly BuildTarget[]): string[] {
  return targets.map((target) => (target === 'library' ? 'llama-addon' : 'llama-server'))
}

// llama.cpp PR 24233 (2026-07-16) to d4389a4d (2026-09-08): ROCm builds return other slots' text on integrated GPUs. The bundle is one squashed commit
// without a build number; it is dated some days after the last commit that is in it, so the end of the range lies a week later.
const badFrom = Date.parse('2026-07-16T00:00:00Z')
const badUntil = Date.parse('2026-09-15T00:00:00Z')

/** Why this source may not be built for ROCm, or null. `committedAt`: date of the bundle's commit. */
export function refusedSource(backend: BuildBackend, committedAt: number): Fault | null {
  if (backend !== 'hip' || !(committedAt >= badFrom && committedAt < badUntil)) return null
  return fault('build_refused', {
    backend, why: `its source is of ${new Date(committedAt).toISOString().slice(0, 10)}, when llama.cpp returned wrong tokens with ROCm on this class of GPU`,
    remedy: 'Use a Hearth with another node-llama-cpp, or build for Vulkan: hearth engine build --backend vulkan',
  })
}

/** `[12/345] Building CXX object …` -> its two numbers. */
export function ninjaStep(line: string): { done: number; total: number } | null {
  const found = /^\[(\d+)\/(\d+)\] /.exec(line)
  return found === null ? null : { done: Number(found[1]), total: Number(found[2]) }
}

// The first files say little about the rest.
const etaAfterSteps = 5

export function etaMs(step: { done: number; total: number }, elapsedMs: number): number | null {
  return step.done < etaAfterSteps ? null : Math.round((elapsedMs / step.done) * (step.total - step.done))
}

const shownLines = 12

/** What a person needs of a failed step: from the failing command's own words on, without the progress, at most twelve lines. */
export function lastLines(lines: readonly string[]): string[] {
  const failed = lines.findLastIndex((line) => line.startsWith('FAILED:'))
  const told = lines.slice(failed === -1 ? 0 : failed).filter((line) => line.trim() !== '' && ninjaStep(line) === null)
  // The long command line behind FAILED says less than the error behind it.
  const spoken = failed === -1 ? told : told.filter((line, index) => index !== 1 || !/^\S*\/\S+ .* -[oc] /.test(line))
  const errors = spoken.findIndex((line) => /\berror\b/i.test(line))
  const from = errors > 0 && spoken.length > shownLines ? Math.min(errors, spoken.length - shownLines) : Math.max(0, spoken.length - shownLines)
  return spoken.slice(from, from + shownLines).map((line) => line.slice(0, 300))
}
