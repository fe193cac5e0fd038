// The four stories of help, played by a whole Hearth: how each comes back, what it cost, and that docs/help-stories.md still tells them as they are.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { plain, stories, tell } from '../fixtures/help-stories.ts'
import { Box, root } from './box.ts'

// 800 tokens read anew, 100 from the cache and 40 written, at the price of the story.
const requestUsdMicros = 3030

describe('a job that is helped by', () => {
  const page = readFileSync(join(root, 'docs/help-stories.md'), 'utf8')
  for (const story of stories) {
    it(story.name, async () => {
      const box = new Box()
      try {
        const { code, events, why, requests } = await tell(box, story)
        assert.equal(code, 0, why)
        const backs = events.filter((event) => event.type === 'handed_back')
        assert.deepEqual(backs.map(({ mode, how }) => [mode, how]), story.mode === 'review' ? [['review', 'answered'], ['review', 'answered']] : [[story.mode, story.mode === 'step' ? 'passed' : 'answered']])
        const ended = events.find((event) => event.type === 'ended')
        assert.equal(ended?.outcome, story.mode === 'review' ? 'done_unverified' : 'resolved')
        assert.equal(ended?.receipt.usdMicros, requests.length * requestUsdMicros)
        // A step that is taken over ends with its check: the last thing that is recorded for it is never asked for.
        assert.equal(requests.length, story.mode === 'step' ? story.sold.length - 1 : story.sold.length)
        if (story.mode === 'plan') assert.deepEqual(backs[0]?.checks, ['python3 -m unittest -q'])
        const told = plain(why, events[0]?.jobId ?? '').trim()
        assert.ok(page.includes(told), `docs/help-stories.md is not true any more; run node_modules/.bin/node scripts/stories.ts. Now it is:\n${told}`)
      } finally {
        await box.close()
      }
    })
  }
})
