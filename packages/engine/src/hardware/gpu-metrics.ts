// Owns reading amdgpu's binary gpu_metrics table. Knows one revision, v3.0 (264 bytes, little endian), which APUs of the Strix family write.
// Offsets are those of struct gpu_metrics_v3_0 of the kernel's kgd_pp_interface.h with 8-byte alignment.
import type { GpuSnapshot } from '@hearth/protocol'

/** What the table says; null when it is absent, cut short or of another revision. All ones in a field mean that the hardware has no such sensor. */
export function readGpuMetrics(data: Buffer | null): GpuSnapshot['metrics'] {
  if (data === null || data.length < 4) return null
  const size = data.readUInt16LE(0)
  const revision = `${data.readUInt8(2)}.${data.readUInt8(3)}`
  if (revision !== '3.0' || size !== 264 || data.length < size) return null
  const u16 = (at: number): number | null => (data.readUInt16LE(at) === 0xffff ? null : data.readUInt16LE(at))
  const u32 = (at: number): number | null => (data.readUInt32LE(at) === 0xffffffff ? null : data.readUInt32LE(at))
  const scaled = (value: number | null, by: number): number | null => (value === null ? null : value / by)
  return {
    format: revision,
    gfxTemperatureC: scaled(u16(4), 100),
    socTemperatureC: scaled(u16(6), 100),
    gfxActivityPercent: u16(42),
    socketWatts: scaled(u32(112), 1000),
    gfxClockMHz: u16(174),
    memoryClockMHz: u16(186),
  }
}
