// Owns the recognition of native failures by their text (llama.cpp, ggml, Vulkan, the kernel). Pure; the sentences are fault.ts's.
import type { NativeCause } from './wire.ts'

const signs: [NativeCause, RegExp][] = [
  ['gpu_lost', /DeviceLost|device lost|ring \S* ?timeout|GPU (reset|hang)|amdgpu: .*reset/i],
  ['out_of_memory', /out of ?(device|host)? ?memory|OutOf(Device|Host)?Memory|bad_alloc|cannot allocate memory|failed to allocate|unable to allocate|InsufficientMemory|too large for the available|heap out of memory|ENOMEM/i],
]

/** The cause named by a native message or a tail of stderr; `other` when it names none. */
export function nativeCause(text: string): NativeCause {
  for (const [cause, sign] of signs) if (sign.test(text)) return cause
  return 'other'
}
