// Owns the expert of a job that is only played up to where help would be asked for: it offers itself, so that the job waits there, and answers nothing. Sends nothing.
import { AgentProfile, fault, noUsage, type EscalationMode, type Expert, type Fault, type Job } from '@hearth/protocol'

/** The modes whose moment of asking ends the course of such a job, whatever policy says: nothing leaves. Null = it is no such job. */
export function heldModes({ request: { escalation } }: Pick<Job, 'request'>): readonly EscalationMode[] | null {
  return escalation?.untilTrigger === true ? escalation.modes ?? ['advise'] : null
}

/** What such a job is told instead of being sold anything. */
export function heldFault(): Fault {
  return fault('not_bought', { why: 'This job is only played up to where help would be asked for, and nothing is bought for it.', remedy: 'Its forks ask.' })
}

const nobody = 'nobody'

export const heldExpert: Expert = {
  offer: () => Promise.resolve({ ok: true, offer: { model: nobody, place: 'local', host: 'this box', consent: 'ask', preview: '', sha256: '', bytes: 0, redactions: [], worstUsdMicros: 0 } }),
  // Somebody may say yes in the moment in which the job waits.
  model: () => Promise.resolve({
    info: { id: nobody, place: 'local', contextTokens: 1, profile: AgentProfile.parse({ toolMode: 'native' }) },
    async *generate() {
      yield {
        type: 'failed', usage: noUsage, timings: { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 0 },
        fault: heldFault(),
      }
    },
  }),
  spent: () => 0,
}
