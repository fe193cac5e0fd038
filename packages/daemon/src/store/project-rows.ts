// Owns the translation between the rows of projects and their words. A row is a version: the newest of an id holds, unless it says that the project is gone.
import type { ProjectEntry, ProjectRules } from '@hearth/protocol'
import { number, text, type Row } from './rows.ts'
import type { Write } from './statements.ts'

export const projectsNow = `SELECT id, path, rules, created_at, at FROM projects AS one
  WHERE removed = 0 AND version = (SELECT max(version) FROM projects WHERE id = one.id) ORDER BY id`

export function projectWrite(entry: ProjectEntry, by: string, removed: boolean): Write {
  return ['insertProject', [entry.id, entry.path, JSON.stringify(entry.rules), entry.createdAt, entry.changedAt, by, removed ? 1 : 0]]
}

export function projectRow(row: Row): ProjectEntry {
  return { id: text(row, 'id'), path: text(row, 'path'), rules: JSON.parse(text(row, 'rules')) as ProjectRules, createdAt: number(row, 'created_at'), changedAt: number(row, 'at') }
}
