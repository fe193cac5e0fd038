import { readFileSync } from 'node:fs'
import type { User } from './user.ts'

export function load(path: string): User[] {
  const rows = JSON.parse(readFileSync(path, 'utf8')) as { id: number; 'userName': string }[]
  return rows.map(({ id, userName }) => ({ id, userName: userName.trim() }))
}
