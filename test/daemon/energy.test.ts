// The energy of calls: readers on captured trees and files that change, and the meter on a clock and a reader of the test's own.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { findPowerReader, type PowerReader } from '@hearth/engine'
import { EnergyMeter } from '../../packages/daemon/src/meter/energy.ts'
import { boxes, rootOf } from '../fixtures/hardware/box.ts'

const folders: string[] = []
afterEach(() => { for (const folder of folders.splice(0)) rmSync(folder, { recursive: true }) })
function tree(files: Readonly<Record<string, string>>): { root: string; write(path: string, text: string): void } {
  const root = mkdtempSync(join(tmpdir(), 'hearth-power-'))
  folders.push(root)
  const write = (path: string, text: string): void => {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  for (const [path, text] of Object.entries(files)) write(path, text)
  return { root, write }
}
const hwmon = '/sys/class/drm/card1/device/hwmon/hwmon3'
const rapl = '/sys/class/powercap/intel-rapl:0'

describe('readers of used energy', () => {
  it('finds the sensor of each captured box, and none where there is none', async () => {
    const found = Object.fromEntries(await Promise.all(boxes.map(async (box) => [box, (await findPowerReader(rootOf(box)))?.source ?? null] as const)))
    assert.deepEqual(found, {
      'plain-cpu': null, 'strix-halo-128': 'APU PPT, not wall', 'strix-halo-128-tuned': 'APU PPT, not wall', 'strix-halo-96-carve-out': 'APU PPT, not wall', 'unknown-gpu': null,
    })
  })

  it('integrates the power of an APU between two readings', async () => {
    const { root, write } = tree({ [`${hwmon}/name`]: 'amdgpu\n', [`${hwmon}/power1_label`]: 'PPT\n', [`${hwmon}/power1_average`]: '20000000\n' })
    const reader = await findPowerReader(root)
    assert.equal(await reader?.since(0), null)
    write(`${hwmon}/power1_average`, '120000000\n')
    assert.equal(await reader?.since(2000), 140)
    write(`${hwmon}/power1_average`, 'garbage')
    assert.equal(await reader?.since(1000), null)
    write(`${hwmon}/power1_average`, '50000000\n')
    assert.equal(await reader?.since(1000), null)
    assert.equal(await reader?.since(1000), 50)
  })

  it('takes no card whose sensor leaves out the CPU, and none that says 0', async () => {
    for (const files of [{ [`${hwmon}/power1_average`]: '50000000' }, { [`${hwmon}/power1_label`]: 'PPT', [`${hwmon}/power1_average`]: '0' }, { [`${hwmon}/power1_label`]: 'PPT' }]) {
      assert.equal(await findPowerReader(tree({ [`${hwmon}/name`]: 'amdgpu', ...files as Record<string, string> }).root), null)
    }
  })

  it('counts the counters of the CPU package, also when they begin again from zero', async () => {
    const { root, write } = tree({ [`${rapl}/energy_uj`]: '999000000', [`${rapl}/max_energy_range_uj`]: '1000000000' })
    const reader = await findPowerReader(root)
    assert.equal(reader?.source, 'CPU package (RAPL), not wall')
    assert.equal(await reader?.since(0), null)
    write(`${rapl}/energy_uj`, '999500000')
    assert.equal(await reader?.since(1000), 0.5)
    write(`${rapl}/energy_uj`, '2500000')
    assert.equal(await reader?.since(1000), 3)
    write(`${rapl}/energy_uj`, '1000000')
    assert.equal(await reader?.since(1000), 998.5)
  })

  it('says nothing of counters that stand still or began anew', async () => {
    const { root, write } = tree({ [`${rapl}/energy_uj`]: '90000000000', [`${rapl}/max_energy_range_uj`]: '262143328850' })
    const reader = await findPowerReader(root)
    assert.equal(await reader?.since(0), null)
    assert.equal(await reader?.since(1000), null)
    // 172 kJ in a second, if they had gone round.
    write(`${rapl}/energy_uj`, '5000000')
    assert.equal(await reader?.since(1000), null)
    write(`${rapl}/energy_uj`, '25000000')
    assert.equal(await reader?.since(1000), 20)
    // They are written every millisecond or so: nothing between two that are as near is no fault.
    assert.equal(await reader?.since(1), 0)
    rmSync(join(root, rapl, 'energy_uj'))
    assert.equal(await reader?.since(1000), null)
  })
})

/** A box that uses what the test says, on a clock that is moved by hand. */
class Box {
  readonly meter: EnergyMeter
  #nowMs = 0
  #used: number | null = null
  broken = false

  constructor(present = true) {
    const reader: PowerReader = {
      source: 'a test',
      since: () => {
        const joules = this.broken ? null : this.#used
        this.#used = this.broken ? null : 0
        return Promise.resolve(joules)
      },
    }
    this.meter = new EnergyMeter({ reader: () => Promise.resolve(present ? reader : null), now: () => this.#nowMs, sampleMs: 1000 })
  }

  /** So much time goes by at this power. */
  async pass(ms: number, watts: number): Promise<void> {
    await this.settled()
    if (this.#used !== null) this.#used += watts * ms / 1000
    this.#nowMs += ms
  }

  /** All readings that were asked for are done. */
  async settled(): Promise<void> {
    await this.meter.source()
    for (let n = 0; n < 20; n += 1) await Promise.resolve()
  }

  /** The idle box was looked at: 10 W. */
  async idle(): Promise<void> {
    for (const ms of [0, 1000]) {
      await this.pass(ms, 10)
      await this.meter.begin().end()
    }
    assert.equal(this.meter.idleWatts, 10)
  }
}

describe('the energy of calls', () => {
  it('is what was used above idle while it ran', async () => {
    const box = new Box()
    await box.idle()
    const call = box.meter.begin()
    await box.pass(3000, 110)
    assert.equal(await call.end(), 300)
    assert.equal(await call.end(), 300)
  })

  it('is shared by the tokens of each moment', async () => {
    const box = new Box()
    await box.idle()
    const first = box.meter.begin()
    await box.pass(1000, 110)
    const second = box.meter.begin()
    await box.settled()
    for (let n = 0; n < 30; n += 1) first.heard({ type: 'text', text: 'x' })
    second.heard({ type: 'prefill', doneTokens: 4, totalTokens: 10 })
    second.heard({ type: 'prefill', doneTokens: 10, totalTokens: 10 })
    await box.pass(1000, 110)
    // 100 J alone, then three quarters of 100 J.
    assert.equal(await first.end(), 175)
    await box.pass(2000, 60)
    assert.equal(await second.end(), 125)
  })

  it('is shared alike where no token moved', async () => {
    const box = new Box()
    await box.idle()
    const calls = [box.meter.begin(), box.meter.begin(), box.meter.begin(), box.meter.begin()]
    await box.settled()
    await box.pass(1000, 410)
    assert.deepEqual(await Promise.all(calls.map((call) => call.end())), [100, 100, 100, 100])
  })

  it('never loses a joule: calls that come and go add up to what the box used above idle', async () => {
    const box = new Box()
    await box.idle()
    let [used, state] = [0, 7]
    const random = (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
    const open = new Set<ReturnType<EnergyMeter['begin']>>()
    let sum = 0
    for (let n = 0; n < 300; n += 1) {
      if (open.size === 0 || random() < 0.4) open.add(box.meter.begin())
      await box.settled()
      for (const call of open) if (random() < 0.7) call.heard({ type: 'reasoning', text: 'x' })
      const [ms, watts] = [Math.floor(random() * 1500), 10 + Math.floor(random() * 100)]
      await box.pass(ms, watts)
      used += (watts - 10) * ms / 1000
      const leaving = [...open].filter(() => random() < 0.3)
      for (const call of leaving) {
        open.delete(call)
        sum += await call.end() ?? NaN
      }
      // What nobody is there for belongs to nobody.
      if (open.size === 0) { await box.meter.begin().end(); await box.pass(0, 10) }
    }
    for (const call of open) sum += await call.end() ?? NaN
    assert.ok(Math.abs(sum - used) < 150, `${sum} J billed, ${used} J used (each call is rounded to a joule)`)
  })

  it('is null where the box cannot say, before idle is known, and when a reading fails in between', async () => {
    assert.equal(await new Box(false).meter.begin().end(), null)
    const fresh = new Box()
    const early = fresh.meter.begin()
    await fresh.pass(1000, 100)
    assert.equal(await early.end(), null)
    const box = new Box()
    await box.idle()
    const call = box.meter.begin()
    await box.pass(1000, 100)
    box.broken = true
    const other = box.meter.begin()
    await box.settled()
    box.broken = false
    await box.pass(1000, 100)
    assert.deepEqual([await call.end(), await other.end()], [null, null])
  })

  it('goes on after a reader that failed: no call fails for it', async () => {
    let reads = 0
    const reader: PowerReader = { source: 'a test', since: (ms) => ((reads += 1) === 5 ? Promise.reject(new Error('gone')) : Promise.resolve(reads === 1 ? null : ms / 1000 * (reads < 5 ? 10 : 60))) }
    let nowMs = 0
    const meter = new EnergyMeter({ reader: () => Promise.resolve(reader), now: () => (nowMs += 1000), sampleMs: 1000 })
    for (const _ of [1, 2]) await meter.begin().end()
    // The fifth reading is that of its begin: what it closes is not this call's.
    assert.equal(await meter.begin().end(), 50)
    meter.close()
  })

  it('takes the least it saw for idle, and nothing for less than idle', async () => {
    const box = new Box()
    await box.idle()
    await box.pass(1000, 80)
    await box.meter.begin().end()
    assert.equal(box.meter.idleWatts, 10)
    const call = box.meter.begin()
    await box.pass(5000, 5)
    assert.equal(await call.end(), 0)
  })

  it('looks at the idle box by itself, and not while it computes', async () => {
    let reads = 0
    const reader: PowerReader = { source: 'a test', since: (ms) => Promise.resolve(reads++ === 0 ? null : ms / 1000 * 8) }
    const meter = new EnergyMeter({ reader: () => Promise.resolve(reader), sampleMs: 20, idleEveryMs: 10 })
    meter.watch()
    while (meter.idleWatts === null) await new Promise((resolve) => setTimeout(resolve, 5))
    meter.close()
    assert.ok(Math.abs(meter.idleWatts - 8) < 1e-9)
  })
})
