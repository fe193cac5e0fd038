// Owns the translation between the rows of keys and their words.
import type { ApiKey } from '@hearth/protocol'
import { number, numberOrNull, text, type Row } from './rows.ts'
import type { Write } from './statements.ts'

export type StoredKey = { key: ApiKey; hash: string }

export function keyWrite(key: ApiKey, hash: string): Write {
  return ['insertKey', [key.id, key.name, hash, JSON.stringify(key.scopes), key.origin, key.class, key.models === null ? null : JSON.stringify(key.models), key.createdAt, key.expiresAt, key.budget === null || key.budget === undefined ? null : JSON.stringify(key.budget)]]
}

export function keyOf(row: Row): StoredKey {
  const models = row['models']
  return {
    hash: text(row, 'hash'),
    key: {
      id: text(row, 'id'), name: text(row, 'name'), scopes: JSON.parse(text(row, 'scopes')) as ApiKey['scopes'], origin: text(row, 'origin') as ApiKey['origin'],
      class: text(row, 'class') as ApiKey['class'], models: typeof models === 'string' ? JSON.parse(models) as string[] : null,
      budget: typeof row['budget'] === 'string' ? JSON.parse(row['budget']) as ApiKey['budget'] & object : null,
      createdAt: number(row, 'created_at'), expiresAt: numberOrNull(row, 'expires_at'), lastUsedAt: numberOrNull(row, 'last_used_at'), revokedAt: numberOrNull(row, 'revoked_at'),
    },
  }
}
