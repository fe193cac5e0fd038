// Owns the first model of a box: when there is none, the starter is fetched before a job or a chat.
import type { Client } from '@hearth/protocol/client'
import type { ModelList } from '@hearth/protocol'
import type { Context } from './context.ts'
import { bytes } from './print.ts'
import { visible } from './text.ts'
import { showTransfer } from './transfer.ts'

/**
 * On a box without any model the starter is fetched first: the smallest agent model of the catalogue. A larger one that was asked for
 * by name, here or in the configuration, is nothing to fetch unasked: the daemon then says that it is missing.
 */
export async function seeToModel(ctx: Context, client: Client, wanted: string | null): Promise<void> {
  if (wanted?.startsWith('scripted:') === true) return
  const { models, default: standard } = await client.call<ModelList>('GET', '/api/models')
  if (models.some((model) => model.installed)) return
  const starter = models.filter((model) => model.roles.includes('agent') && model.bytes !== null).sort((a, b) => (a.bytes ?? 0) - (b.bytes ?? 0))[0]
  const asked = wanted ?? standard
  if (starter === undefined || (asked !== null && asked !== starter.id)) return
  const size = starter.bytes === null ? '' : `, ${bytes(starter.bytes)}`
  ctx.err.line(`hearth: no model is installed; fetching the starter ${visible(starter.id)} first${size}`)
  const { model } = await showTransfer(ctx, `/api/models/${encodeURIComponent(starter.id)}/pull`, ctx.err, false)
  ctx.err.line(`hearth: ${visible(model.id)} is installed and verified`)
}
