export function store(name, bytes) {
  return [name, bytes.length]
}
