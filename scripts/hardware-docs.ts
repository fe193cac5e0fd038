// Writes what doctor says about each captured box, for docs/hardware.md. Reads the fixtures of the tests, never this machine.
import { examineHardware } from '../packages/daemon/src/doctor/hardware.ts'
import { boxes, boxSnapshot } from '../test/fixtures/hardware/box.ts'

const sections = await Promise.all(boxes.map(async (box) => {
  const lines = examineHardware(await boxSnapshot(box))
    .flatMap(({ name, state, detail, remedy }) => [`${state.padEnd(4)}  ${name}: ${detail}`, ...(remedy === null ? [] : [`      ${remedy}`])])
  return `### ${box}\n\`\`\`\n${lines.join('\n')}\n\`\`\``
}))

/** One section a box. */
export const doctorOfBoxes = sections.join('\n')
