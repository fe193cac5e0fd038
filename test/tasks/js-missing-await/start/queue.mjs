/** Runs jobs one after the other; a job that fails gives null and does not stop the others. */
export async function runAll(jobs) {
  const results = []
  jobs.forEach(async (job) => {
    try {
      results.push(await job())
    } catch {
      results.push(null)
    }
  })
  return results
}
