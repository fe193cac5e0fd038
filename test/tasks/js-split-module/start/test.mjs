import assert from 'node:assert/strict'
import { page } from './page.mjs'
import { slugify } from './slug.mjs'

assert.equal(slugify('Grüße & Küsse'), 'gruesse-kuesse')
assert.equal(page('A & B', 'x'), '<article id="a-b"><h1>A &amp; B</h1>x</article>')
console.log('ok')
