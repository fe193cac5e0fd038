// Owns that a request to a model which has to wait says so: its place in the line and for what. Changes nothing of what is asked or answered.
import type { EventOf, Model, ModelEvent } from '@hearth/protocol'

type Queued = Extract<ModelEvent, { type: 'queued' }>

/** 'number 2 in line: loading ...', for a reader of a stream. */
export function waitWords(event: Queued, model: string): string {
  const { position, reason, etaMs } = waitOf(event, model)
  return `number ${position} in line: ${reason}${etaMs === null ? '' : ` (about ${Math.ceil(etaMs / 1000)} s)`}`
}

/** A model around a model that tells each new place and reason; the same one again is nothing new. */
export function tellingWaits(inner: Model, tell: (event: EventOf<'waiting'>) => void): Model {
  return {
    info: inner.info,
    async *generate(request, signal) {
      let told = ''
      for await (const event of inner.generate(request, signal)) {
        if (event.type === 'queued') {
          const wait = waitOf(event, inner.info.id)
          const words = `${wait.position} ${wait.reason}`
          if (words !== told) tell(wait)
          told = words
        }
        yield event
      }
    },
  }
}

function waitOf({ position, reason, etaMs }: Queued, model: string): EventOf<'waiting'> {
  return { type: 'waiting', model, position, reason: reason ?? `'${model}' answers others`, etaMs: etaMs ?? null }
}
