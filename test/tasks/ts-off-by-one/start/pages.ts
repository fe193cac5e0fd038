/** Number of pages; at least 1. */
export function pages(items: readonly unknown[], size: number): number {
  return Math.floor(items.length / size) + 1
}

/** Items of page n, counted from 1; an empty list for a page that does not exist. */
export function page<T>(items: readonly T[], size: number, n: number): T[] {
  const from = (n - 1) * size
  return items.slice(from, from + size - 1)
}
