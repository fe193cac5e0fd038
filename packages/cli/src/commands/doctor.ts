// Owns `hearth doctor`: shows the daemon's checks, or runs them by the daemon's own program when none is up.
import { spawn } from 'node:child_process'
import { Client } from '@hearth/protocol/client'
import { fault, FaultError } from '@hearth/protocol/fault'
import type { DoctorReport } from '@hearth/protocol'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { daemonMain, nodeFlags, reach } from '../daemon.ts'
import { jsonLine, oneLine, pad, columns, wrap, visible } from '../text.ts'

export const doctor: Command = {
  spec: {
    name: 'doctor', operands: '', arity: [0, 0],
    about: 'Checks this box (sandbox, limits, disk, database, models, engine) and says what to repair. Works with and without a running daemon and starts none. Exit 1 when something must be repaired.',
    flags: {},
    examples: [['hearth doctor', 'one line a check: ✓ fine, ! worth a look, ✗ must be repaired']],
  },
  async run(ctx, args) {
    const running = await reach(ctx)
    const report = running === null ? await alone(ctx) : await new Client(ctx.paths.socket).call<DoctorReport>('GET', '/api/doctor')
    const code = report.ok && !report.checks.some((check) => check.state === 'fail') ? 0 : 1
    if (args.flag('json')) {
      ctx.out.line(jsonLine(report))
      return code
    }
    const { ink, width } = ctx.out
    const marks = { ok: ink.green('✓'), warn: ink.yellow('!'), fail: ink.red('✗') }
    const size = Math.max(0, ...report.checks.map((check) => columns(oneLine(check.name))))
    for (const check of report.checks) {
      wrap(visible(check.detail), width - size - 4).forEach((line, i) => {
        ctx.out.line(i === 0 ? `${marks[check.state]} ${pad(oneLine(check.name), size)}  ${line}` : `  ${' '.repeat(size)}  ${line}`)
      })
      if (check.remedy !== null) for (const line of wrap(visible(check.remedy), width - size - 6)) ctx.out.line(`  ${' '.repeat(size)}  ${ink.yellow(line)}`)
    }
    const failed = report.checks.filter((check) => check.state === 'fail').length
    const warned = report.checks.filter((check) => check.state === 'warn').length
    ctx.out.line()
    ctx.out.line(`${report.checks.length} checks: ${failed} to repair, ${warned} worth a look${running === null ? '; no daemon is running' : ''}`)
    return code
  },
}

/** Runs the daemon's program for its report only. */
async function alone(ctx: Context): Promise<DoctorReport> {
  const child = spawn(process.execPath, [...nodeFlags, daemonMain, 'doctor', '--json'], { stdio: ['ignore', 'pipe', 'pipe'], env: ctx.env })
  const [out, err, how] = await Promise.all([text(child.stdout), text(child.stderr), new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(signal ?? `exit ${code ?? '?'}`))
  })])
  const report = parseReport(out)
  if (report === null) throw new FaultError(fault('internal', { problem: `the doctor gave no report (${how}): ${err.trim().split('\n').at(-1) ?? ''}` }))
  return report
}

async function text(stream: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts).toString('utf8')
}

function parseReport(text: string): DoctorReport | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && 'checks' in value ? (value as DoctorReport) : null
  } catch {
    return null
  }
}
