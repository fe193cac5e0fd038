// Owns `hearth status`.
import { Client } from '@hearth/protocol/client'
import type { StatusReply } from '@hearth/protocol'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import { bytes, count, duration, fields, table } from '../print.ts'
import { jsonLine, oneLine } from '../text.ts'
import { keptText, memoryText } from '../workers.ts'

export const status: Command = {
  spec: {
    name: 'status', operands: '', arity: [0, 0],
    about: 'What the daemon is doing: its jobs, its engine workers, the sandbox, its folders. Exit 69 when none is running.',
    flags: {},
    examples: [['hearth status --json', 'the same as one JSON object']],
  },
  async run(ctx, args) {
    const reply = await ask<StatusReply>(new Client(ctx.paths.socket), '/api/status')
    if (args.flag('json')) {
      ctx.out.line(jsonLine(reply))
      return 0
    }
    const { ink, width } = ctx.out
    const { jobs, sandbox } = reply
    const idle = reply.idleExitSeconds === null ? '' : `, ends after ${duration(reply.idleExitSeconds * 1000)} without work`
    for (const line of fields([
      ['daemon', oneLine(`${reply.version}, pid ${reply.pid}, up ${duration(Date.now() - reply.startedAt)}${idle}`)],
      ['memory', `${bytes(reply.rssBytes)} resident`],
      ['jobs', `${count(jobs.running)} running, ${count(jobs.queued)} queued, ${count(jobs.suspended)} suspended, ${count(jobs.ended)} over`],
      ['sandbox', sandbox.available ? ink.green('ready') + oneLine(`, limits ${sandbox.limits}: ${sandbox.detail}`) : ink.red('unavailable') + oneLine(`: ${sandbox.detail}`)],
      ['free disk', bytes(reply.freeDiskBytes)],
      ['state', oneLine(reply.stateDir)],
      ['models', oneLine(reply.modelsDir)],
      ['socket', oneLine(reply.socket)],
      ...(reply.http === undefined ? [] : [['http', oneLine(reply.http.url ?? reply.http.problem ?? "not listening; 'hearth keys add NAME' makes a key and opens it")] as const]),
    ], ink)) ctx.out.line(line)
    ctx.out.line()
    if (reply.workers.length === 0) {
      ctx.out.line(ink.dim('no model is loaded'))
      return 0
    }
    const now = Date.now()
    const rows = reply.workers.map((worker) => [
      oneLine(worker.model), { text: worker.state, ink: worker.state === 'ready' ? ink.green : worker.state === 'failed' || worker.state === 'broken' ? ink.red : ink.yellow },
      String(worker.pid ?? '-'), oneLine(`${worker.backend ?? '-'}${worker.build == null ? '' : `, ${worker.build}`}`), worker.contextTokens === null ? '-' : count(worker.contextTokens),
      memoryText(worker), `${worker.busy} of ${worker.sequences ?? '?'}`, String(worker.waiting), keptText(worker, now), String(worker.restarts), oneLine(worker.lastFault ?? ''),
    ])
    const right = { side: 'right' as const }
    const head = [{ title: 'MODEL' }, { title: 'STATE' }, { title: 'PID', ...right }, { title: 'BACKEND' }, { title: 'CONTEXT', ...right }, { title: 'MEMORY', ...right }, { title: 'BUSY', ...right }, { title: 'WAITING', ...right }, { title: 'KEPT' }, { title: 'RESTARTS', ...right }, { title: 'LAST FAULT' }]
    for (const line of table(head, rows, width, ink)) ctx.out.line(line)
    for (const { model, distrusted } of reply.workers) if (distrusted !== undefined) ctx.out.line(ink.yellow(oneLine(`${model}: ${distrusted}`)))
    return 0
  },
}
