// Owns the built-in job of scripts/try: a small folder with a failing check, made from a seed. Runs nothing.

export type DemoJob = {
  /** Relative path -> content. */
  files: Record<string, string>
  prompt: string
  /** Decides whether the job is resolved. It never runs a file of the workspace: the model may have changed that. */
  check: string
}

const names = [
  'report', 'budget', 'invoice', 'agenda', 'schedule', 'summary', 'memo', 'notice',
  'survey', 'contract', 'recipe', 'garden', 'window', 'kitchen', 'bridge', 'market',
]
const texts = [
  'The meeting is on Monday', 'Coffee is in the kitchen', 'The door code changes today', 'Lunch starts at noon',
  'The train leaves at seven', 'Water the plants on Friday', 'The printer is on floor two', 'Send the parcel before ten',
  'The new desk is blue', 'Rain is coming tomorrow', 'The museum opens at nine', 'Please lock the window',
]

/** The same seed gives the same job. Name and text vary; the text stands only in what the failing check prints. */
export function demoJob(seed: number): DemoJob {
  const draw = generator(seed)
  const name = `${names[draw(names.length)] ?? 'memo'}.txt`
  const text = texts[draw(texts.length)] ?? 'Lunch starts at noon'
  return {
    files: {
      'check.sh': [
        `if [ ! -f ${name} ]; then echo "${name} is missing. It must say: ${text}"; exit 1; fi`,
        `if [ "$(cat ${name})" != "${text}" ]; then echo "${name} is wrong. It must say: ${text}"; exit 1; fi`,
        'echo ok',
        '',
      ].join('\n'),
    },
    prompt: 'Make check.sh pass.',
    check: `test "$(cat ${name})" = "${text}"`,
  }
}

/** Marsaglia's xorshift32: small, and the same everywhere. */
function generator(seed: number): (below: number) => number {
  let state = (Math.imul(seed + 1, 2_654_435_761) >>> 0) || 1
  const next = (): number => {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state
  }
  for (let turns = 0; turns < 8; turns++) next()
  return (below) => next() % below
}
