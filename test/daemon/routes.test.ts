// The route table: each route against the page that lists it, and each against a caller who lacks its scope.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { JobEventBody, scopes, type Principal } from '@hearth/protocol'
import { routes } from '../../packages/daemon/src/index.ts'
import { makeApp } from '../../packages/daemon/src/http/app.ts'
import type { Api } from '../../packages/daemon/src/http/api.ts'

const page = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')

test('docs/api.md lists every route with its scope and meaning, and no other', () => {
  const rows = page('api.md').split('\n').filter((line) => /^\| `(GET|POST|DELETE) /.test(line))
  assert.deepEqual(rows, routes.map((route) => `| \`${route.method} ${route.path}\` | ${route.scope ?? 'none'} | ${route.about} |`))
})

test('no two routes are the same', () => {
  assert.equal(new Set(routes.map((route) => `${route.method} ${route.path}`)).size, routes.length)
})

// A caller with every scope but the route's own never reaches the handler, so the handler needs nothing to work with.
for (const route of routes) {
  const { scope } = route
  if (scope === null) continue
  test(`${route.method} ${route.path} needs the scope ${scope}`, async () => {
    const principal: Principal = { id: 'key:x', kind: 'key', origin: 'automation', scopes: scopes.filter((one) => one !== scope), class: 'job' }
    const app = makeApp({} as Api, () => principal, () => undefined)
    const answer = await app.request(route.path.replace(':id', 'abcd'), { method: route.method })
    assert.equal(answer.status, 403)
    // One dialect has a place for the remedy, the other puts it behind the sentence.
    assert.ok((await answer.json() as { error: { message: string } }).error.message.startsWith(`You may not call ${route.method} ${route.path} (scope ${scope}).`))
  })
}

test('docs/events.md tells the meaning of every event, and of no other', () => {
  const types = JobEventBody.options.map((option) => option.shape.type.value)
  const told = [...page('events.md').matchAll(/^- \*\*`([a-z_]+)`\*\* /gm)].map((found) => found[1])
  assert.deepEqual(told, types)
})
