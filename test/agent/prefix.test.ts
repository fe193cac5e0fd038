// The prompt of turn n+1 begins with the bytes of turn n, in both modes, through rejections, nudges, failed checks and a resume.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { JobEventBody, Message, ModelRequest } from '@hearth/protocol'
import { call, finish, Workbench } from './workbench.ts'

let bench: Workbench
before(async () => { bench = await Workbench.open({ 'a.txt': 'hello\n' }) })
after(() => bench.close())

// Everything a template can see of a message, in order; without the end of the last turn, which the next turn replaces.
const bytes = (request: ModelRequest): string =>
  JSON.stringify(request.tools) + request.messages.map((message: Message) => `\n<${JSON.stringify(message)}>`).join('')

for (const toolMode of ['native', 'json'] as const) {
  describe(`${toolMode} mode`, () => {
    const turns = [
      ...Array.from({ length: 20 }, (_, index) => call('bash', { command: `echo ${index}; head -c ${index * 500} /dev/zero | tr '\\0' x` })),
      { malformed: 'oops {' }, toolMode === 'native' ? call('nothing', {}) : { malformed: '[]' }, call('read', { path: 'a.txt' }), call('read', { path: 'a.txt' }), call('read', { path: 'a.txt' }),
      finish('early'), call('write', { path: `b.${toolMode}`, content: 'hello\n' }), finish('late'),
    ]

    it('only ever appends', async () => {
      const { requests, end } = await bench.run({ script: { toolMode, turns, contextTokens: 200_000 }, checks: [`cmp a.txt b.${toolMode}`], maxSteps: 60 })
      assert.equal(end.type === 'ended' && end.outcome, 'resolved')
      assert.equal(requests.length, turns.length)
      for (const [index, request] of requests.entries()) {
        const before = requests[index - 1]
        if (before !== undefined) assert.ok(bytes(request).startsWith(bytes(before)), `turn ${index + 1} does not begin with turn ${index}`)
      }
    })

    it('is the same to the byte when it is rebuilt from stored events', async () => {
      const whole = await bench.run({ script: { toolMode, turns: turns.slice(0, 12) }, maxSteps: 12 })
      const cut = whole.events.findLastIndex((event) => event.type === 'step')
      const resumed = await bench.run({ script: { toolMode, turns: turns.slice(0, 12) }, past: JSON.parse(JSON.stringify(whole.events.slice(0, cut))) as JobEventBody[], maxSteps: 12 })
      assert.equal(bytes(resumed.requests[0] as ModelRequest), bytes(whole.requests.at(-1) as ModelRequest))
    })
  })
}
