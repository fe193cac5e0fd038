import { readFileSync } from 'node:fs'
import type { User } from './user.ts'

export function load(path: string): User[] {
  const rows = JSON.parse(readFileSync(path, 'utf8')) as { id: number; 'login': string }[]
  return rows.map(({ id, login }) => ({ id, login: login.trim() }))
}
