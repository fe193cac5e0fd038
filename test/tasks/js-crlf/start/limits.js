'use strict'

// Downloads: 50 MB at most.
exports.downloadBytes = 50 * 1024 * 1024

// Uploads: 5 MB at most.
exports.uploadBytes = 5 * 1024 * 1024
