exec node --input-type=module -e "
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
const lines = readFileSync('/work/zones.js', 'utf8').split('\n')
assert.equal(lines.length, 6003)
let found = 0
lines.forEach((line, index) => {
  const i = index - 1
  if (i < 0 || i >= 6000) return
  const right = i === 3882
  const code = (i * 7 % 26 === 4 ? 'QX' : 'ZA') + '-' + String(right ? 4117 : (i * 37) % 4000).padStart(4, '0')
  const wanted = '  { code: \'' + code + '\', name: \'Zone ' + i + ' of the old survey\', offset: ' + (code === 'QX-4117' ? -210 : (i * 15) % 720 - 360) + ' },'
  assert.equal(line, wanted)
  if (code === 'QX-4117') found += 1
})
assert.equal(found, 1)"
