// The whole daemon under kill -9: the real program, agent and sandbox, a scripted model. Twenty-five times, at moments given by a fixed seed.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { DaemonProcess, makePlace, numbers, real, upTo } from './process.ts'

const place = makePlace()
after(() => place.clear())

const rounds = 25
// In no other command line of this machine: what is found with it is ours.
const marker = `hearth-crash-${process.pid}`

function survivors(): string[] {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).flatMap((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      return command.includes(marker) ? [`${pid}: ${command.replaceAll('\0', ' ')}`] : []
    } catch {
      return []
    }
  })
}

test(`${rounds} times kill -9 in the middle: no acknowledged job is lost, no unsafe call runs twice, nothing is left running`, async () => {
  const turns = Array.from({ length: 4 }, (_, index) => ({
    text: 'Let me see. ', calls: [{ name: 'bash', arguments: { command: `echo ${index} >> done.log; : ${marker}; sleep 0.05` } }],
  }))
  const model = join(place.root, 'model.json')
  writeFileSync(model, JSON.stringify({ version: 1, tokensPerSecond: 300, turns: [...turns, { calls: [{ name: 'finish', arguments: {} }] }] }))
  const jobs: { id: string; cwd: string }[] = []
  let random = 11
  for (let round = 0; round < rounds; round += 1) {
    const daemon = await DaemonProcess.start(place, real)
    const cwd = place.work(`work${round}`)
    jobs.push({ id: (await daemon.submit({ prompt: 'work', cwd, model: `scripted:${model}`, checks: ['test -f done.log'] })).job.id, cwd })
    random = (random * 1103515245 + 12345) % 2 ** 31
    await delay(random % 400)
    await daemon.kill('SIGKILL')
  }
  const daemon = await DaemonProcess.start(place, real)
  try {
    for (const { id, cwd } of jobs) {
      const events = await daemon.all(id)
      assert.deepEqual(numbers(events), upTo(events.length))
      const end = events.at(-1)
      assert.ok(end?.type === 'ended')
      assert.equal(end.outcome, 'resolved', end.fault?.message)
      const planned = events.flatMap((event) => event.type === 'tool_planned' ? [String(event.call.arguments['command'])] : [])
      const ran = readFileSync(join(cwd, 'done.log'), 'utf8').trim().split('\n')
      for (const index of [0, 1, 2, 3]) {
        const times = ran.filter((line) => line === String(index)).length
        const allowed = planned.filter((command) => command.startsWith(`echo ${index} `)).length
        assert.ok(times <= allowed, `call ${index} of ${id} ran ${times} times and was planned ${allowed} times`)
      }
      const { ledger, turns: answered } = { ledger: end.receipt.modelCalls, turns: events.filter((event) => event.type === 'turn' || event.type === 'turn_failed').length }
      assert.ok(ledger >= answered, `${answered} answers, ${ledger} billed`)
    }
    const report = await daemon.client.call<{ checks: { name: string; detail: string }[] }>('GET', '/api/doctor')
    assert.equal(report.checks.find((check) => check.name === 'database')?.detail, 'integrity_check: ok')
    assert.deepEqual(survivors(), [])
  } finally {
    assert.equal(await daemon.kill('SIGTERM'), 0)
  }
})
