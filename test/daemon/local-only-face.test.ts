// A box of which nothing may leave answers no client with a model of another machine.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Config, type DataClass, type Principal } from '@hearth/protocol'
import type { Api } from '../../packages/daemon/src/http/api.ts'
import { modelFor } from '../../packages/daemon/src/http/openai/names.ts'

test('a name of another machine is refused where the box says local-only, unless that machine counts as this box', async () => {
  const owner: Principal = { id: 'socket:0', kind: 'socket', origin: 'human', scopes: ['infer'], class: 'interactive' }
  const asked = async (dataClass: DataClass, local: boolean, name = 'desk'): Promise<string> => {
    const config = Config.parse({ escalation: { dataClass }, models: { aliases: { alias: 'desk' } }, engine: { endpoints: [{ id: 'desk', url: 'http://10.0.0.2/v1', model: 'd', contextTokens: 8192, local }] } })
    const parts = { model: (id: string) => Promise.resolve({ ok: true, model: { info: { id } } }) }
    const found = await modelFor({ config, parts } as unknown as Api, owner, name)
    return found.ok ? found.model.info.id : `${found.fault.code}: ${found.fault.message}`
  }
  const refused = (name: string): string => `not_bought: The model '${name}' is on another machine, and the configuration of this box says local-only.`
  assert.deepEqual([await asked('local-only', false), await asked('local-only', false, 'alias')], [refused('desk'), refused('alias')])
  assert.deepEqual([await asked('redact', false), await asked('local-only', true), await asked('local-only', false, 'tiny')], ['desk', 'desk', 'tiny'])
})
