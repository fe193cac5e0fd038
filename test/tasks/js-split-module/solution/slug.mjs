const umlauts = { ä: 'ae', ö: 'oe', ü: 'ue', ß: 'ss' }

export function slugify(title) {
  return title.toLowerCase().replace(/[äöüß]/g, (letter) => umlauts[letter]).replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '')
}
