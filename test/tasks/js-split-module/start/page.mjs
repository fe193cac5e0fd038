const umlauts = { ä: 'ae', ö: 'oe', ü: 'ue', ß: 'ss' }
const escapes = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }

export function slugify(title) {
  return title.toLowerCase().replace(/[äöüß]/g, (letter) => umlauts[letter]).replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '')
}

export function page(title, body) {
  return '<article id="' + slugify(title) + '"><h1>' + escape(title) + '</h1>' + body + '</article>'
}

function escape(text) {
  return text.replace(/[&<>]/g, (sign) => escapes[sign])
}
