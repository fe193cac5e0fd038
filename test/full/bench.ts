// Runs a benchmark of scripts/bench as a program and gives back its rows.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Row } from '../../scripts/benches/frame.ts'

const root = join(import.meta.dirname, '../..')

export function bench(name: string): Promise<{ code: number | null; rows: Row[] }> {
  return new Promise((resolve, reject) => {
    const child = spawn('sh', [join(root, 'scripts/bench'), name, '--json'], { stdio: ['ignore', 'pipe', 'inherit'] })
    let out = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text })
    child.on('error', reject)
    child.on('close', (code) => {
      try {
        resolve({ code, rows: JSON.parse(out) as Row[] })
      } catch {
        reject(new Error(`scripts/bench ${name} gave no JSON (exit ${code}): ${out.slice(-500)}`))
      }
    })
  })
}
