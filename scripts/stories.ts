// Plays the four stories of help and writes docs/help-stories.md.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { pageOf, stories, tell, type Told } from '../test/fixtures/help-stories.ts'
import { Box } from '../test/journey/box.ts'

const told: Told[] = []
for (const story of stories) {
  const box = new Box()
  try {
    told.push(await tell(box, story))
  } finally {
    await box.close()
  }
}
writeFileSync(fileURLToPath(new URL('../docs/help-stories.md', import.meta.url)), pageOf(told))
console.log(`docs/help-stories.md: ${told.map(({ story, code }) => `${story.name} (exit ${code ?? '?'})`).join(', ')}`)
