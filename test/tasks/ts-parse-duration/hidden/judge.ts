import assert from 'node:assert/strict'
const { parseDuration } = await import('/work/duration.ts')
const right: Record<string, number> = { '1.5d': 129_600_000, '2h': 7_200_000, '30m 1h': 5_400_000, '1h30m': 5_400_000, '0s': 0, ' 5s ': 5000 }
for (const [text, ms] of Object.entries(right)) assert.equal(parseDuration(text), ms, text)
for (const wrong of ['', ' ', '5', 'h', '1h 2h', '-1s', '1w', '1h,2m', '1 h x', '1..5s']) assert.throws(() => parseDuration(wrong), RangeError, wrong)
