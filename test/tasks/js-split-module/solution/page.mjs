import { slugify } from './slug.mjs'

const escapes = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }

export function page(title, body) {
  return '<article id="' + slugify(title) + '"><h1>' + escape(title) + '</h1>' + body + '</article>'
}

function escape(text) {
  return text.replace(/[&<>]/g, (sign) => escapes[sign])
}
