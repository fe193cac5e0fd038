// Owns the shape of what is known about a box: one snapshot of its hardware, kernel and settings. Null: it does not say, never a guess.
// Bytes, watts and degrees are in the units their names say; VRAM and GTT are two views of memory that must never be added up.
import { z } from 'zod'

const bytes = z.int().nonnegative().nullable()
const text = z.string().nullable()

export const GpuSnapshot = z.strictObject({
  card: z.string().describe('name below /sys/class/drm'),
  driver: text.describe('kernel driver that owns it'),
  vendorId: z.int().nullable(),
  deviceId: z.int().nullable(),
  gfx: text.describe('instruction set as KFD names it, e.g. gfx1151'),
  computeUnits: z.int().nullable(),
  simds: z.int().nullable(),
  integrated: z.boolean().nullable().describe('it shares the memory of the CPU; null = not known'),
  vramTotalBytes: bytes.describe('memory of its own; on an integrated GPU the carve-out of the BIOS'),
  vramUsedBytes: bytes,
  visibleVramTotalBytes: bytes.describe('what of it the CPU can address'),
  gttTotalBytes: bytes.describe('system memory that it may use; never to be added to VRAM'),
  gttUsedBytes: bytes,
  busyPercent: z.number().nullable(),
  socketWatts: z.number().nullable().describe('power of the whole package, CPU included, not of the wall'),
  temperaturesC: z.record(z.string(), z.number()).describe('by the label of the sensor'),
  clockMHz: z.int().nullable().describe('shader clock at this moment'),
  clockMaxMHz: z.int().nullable(),
  performanceLevel: text.describe('power_dpm_force_performance_level'),
  mesFirmware: z.int().nullable().describe('version of the scheduler firmware, lowest byte group as the kernel prints it'),
  metrics: z.strictObject({
    format: z.string().describe('revision of the gpu_metrics table, e.g. 3.0'),
    gfxTemperatureC: z.number().nullable(),
    socTemperatureC: z.number().nullable(),
    gfxActivityPercent: z.number().nullable(),
    socketWatts: z.number().nullable(),
    gfxClockMHz: z.int().nullable(),
    memoryClockMHz: z.int().nullable(),
  }).nullable().describe('null when the table is absent or of a revision that is not known'),
})
export type GpuSnapshot = z.infer<typeof GpuSnapshot>

export const HardwareSnapshot = z.strictObject({
  kernel: z.strictObject({ release: text, commandLine: text.describe('only its words about the GPU, its memory and the IOMMU') }),
  board: z.strictObject({ vendor: text, product: text, version: text, board: text, biosVersion: text, biosDate: text }),
  cpu: z.strictObject({ model: text, sockets: z.int().nullable(), physicalCores: z.int().nullable(), logicalCpus: z.int().nullable(), flags: z.array(z.string()), governor: text }),
  memory: z.strictObject({
    totalBytes: bytes.describe('MemTotal: what the kernel manages'),
    availableBytes: bytes.describe('MemAvailable: the one number that counts every use'),
    installedBytes: bytes.describe('sum of the memory modules by DMI; only root may read it'),
  }),
  limits: z.strictObject({
    ttmPagesLimit: z.int().nullable().describe('pages of 4 KiB that GPUs may pin'),
    ttmPagePoolSize: z.int().nullable(),
    gttSizeMiB: z.int().nullable().describe('amdgpu.gttsize; -1 = the driver decides'),
    lockupTimeout: text.describe('amdgpu.lockup_timeout as the module shows it'),
    cwsrEnable: z.int().nullable(),
    iommuGroups: z.int().nullable().describe('0 = the IOMMU is off'),
  }),
  gpus: z.array(GpuSnapshot),
  vulkan: z.strictObject({ drivers: z.array(z.strictObject({ path: z.string(), library: text, kind: z.enum(['radv', 'amdvlk', 'software', 'other']) })) }),
  power: z.strictObject({ platformProfile: text, tunedProfile: text }),
  rapl: z.array(z.strictObject({ name: z.string(), energyMicrojoules: z.number().nullable().describe('null = it may not be read'), wrapMicrojoules: z.number().nullable() })),
  access: z.strictObject({
    uid: z.int(),
    groups: z.array(z.string()).describe('of the daemon, by name where the name is known'),
    devices: z.array(z.strictObject({ path: z.string(), group: text, usable: z.boolean() })),
  }),
})
export type HardwareSnapshot = z.infer<typeof HardwareSnapshot>

export const planParts = ['weights', 'cache', 'state', 'checkpoints', 'compute', 'saved', 'program'] as const

/** What loading a model would take, against what the box can give. Nothing is reserved by it. */
export const MemoryPlan = z.strictObject({
  model: z.string(),
  verdict: z.enum(['fits', 'smaller', 'refused', 'unknown']).describe('smaller: it fits after something was shrunk; unknown: the file or the box does not tell enough'),
  place: z.enum(['ram', 'gtt', 'vram']).nullable(),
  totalBytes: bytes.describe('all memory of that place'),
  limitBytes: bytes.describe('what models may have of it: without the reserve'),
  freeBytes: bytes.describe('what of that is free at this moment'),
  parts: z.array(z.strictObject({ name: z.enum(planParts), bytes: z.int().nonnegative() })),
  neededBytes: z.int().nonnegative(),
  mappedBytes: z.int().nonnegative().describe('pages of the file that stay mapped beside the copy a CPU computes with; given back under pressure and not counted as needed'),
  contextTokens: z.int().describe('of each sequence, after shrinking'),
  sequences: z.int(),
  wishedContextTokens: z.int(),
  wishedSequences: z.int(),
  said: z.string().describe('one sentence with the numbers'),
  remedy: z.string().nullable(),
  evicts: z.array(z.strictObject({ model: z.string(), bytes: z.int().nonnegative() })).optional().describe('idle models that are unloaded first, and what that gives; absent = none'),
  waitsFor: z.array(z.string()).optional().describe('models in the way that answer requests now: the load waits until they are done; absent = none'),
})
export type MemoryPlan = z.infer<typeof MemoryPlan>
