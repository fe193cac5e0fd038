set -e
node --input-type=module -e "
import assert from 'node:assert/strict'
const page = await import('/work/page.mjs'), slug = await import('/work/slug.mjs')
assert.equal(page.slugify, undefined)
assert.equal(slug.slugify('  Öl!! 5 '), 'oel-5')
assert.equal(page.page('<ß>', ''), '<article id=\"ss\"><h1>&lt;ß&gt;</h1></article>')"
! grep -q umlauts page.mjs && grep -q escapes page.mjs && ! grep -q escapes slug.mjs
