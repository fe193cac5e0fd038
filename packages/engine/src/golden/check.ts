// Owns one golden-prompt check of a loaded worker: asks what verdict.ts wants asked, through the words every worker speaks, until there is a verdict.
import { randomBytes } from 'node:crypto'
import type { RunMessage } from '../local/runs.ts'
import type { Generate, Load, Ready } from '../local/wire.ts'
import { nextStep, type Answer, type Ask, type Verdict } from './verdict.ts'

/** Hands a run to the worker; the listener hears its messages in order, and one last word. */
export type Converse = (request: Generate, listener: (message: RunMessage) => void) => void

/** `problem`: a run broke, which says nothing about right or wrong. Null: the worker is gone. */
export type Checked = { verdict: Verdict; ms: number } | { problem: string } | null

export async function check(ready: Ready, load: Load, converse: Converse): Promise<Checked> {
  const startedAt = performance.now()
  // A llama-server evaluates as much as a batch holds, whatever piece a worker of ours would hand over.
  const pieceTokens = ready.backend.startsWith('llama-server') ? Math.max(load.batchTokens, 32) : load.prefillTokens
  const answers: Answer[] = []
  for (;;) {
    const ms = performance.now() - startedAt
    const step = nextStep(answers, { sequences: ready.sequences, contextTokens: ready.contextTokens, pieceTokens, spentMs: ms })
    if ('verdict' in step) return { verdict: step.verdict, ms: Math.round(ms) }
    for (const came of await Promise.all(step.ask.map((ask) => answerTo(ask, converse)))) {
      if (came === null || 'problem' in came) return came
      answers.push(came)
    }
  }
}

function answerTo(ask: Ask, converse: Converse): Promise<Answer | { problem: string } | null> {
  return new Promise((resolve) => {
    let came = ''
    converse(generateOf(ask), (message) => {
      switch (message.type) {
        case 'tokens':
          came += message.text
          return
        case 'end':
          resolve({ ...ask, came, refused: false, prefillMsPerToken: message.figures.prefillMs / Math.max(1, message.figures.promptTokens - message.figures.reusedTokens) })
          return
        case 'refused':
          if (message.cause === 'context_overflow') resolve({ ...ask, came: '', refused: true, prefillMsPerToken: 0 })
          else resolve({ problem: message.problem })
          return
        case 'broke':
          resolve({ problem: message.problem })
          return
        case 'lost':
          resolve(null)
          return
        case 'started': case 'prefill':
          return
        default:
          message satisfies never
      }
    })
  })
}

function generateOf({ text, maxTokens, sequence }: Ask): Generate {
  return {
    type: 'generate', id: `golden-${randomBytes(8).toString('hex')}`, sequence, segments: [{ text, special: false }], fresh: true, maxTokens, stop: [], grammar: null,
    sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, repeatPenalty: 1, seed: 0 }, stopAtJson: false, probabilities: 0, visible: [], priority: 5,
  }
}
