'use strict'

// Downloads: 50 MB at most.
exports.downloadBytes = 50 * 1024 * 1024

// Uploads: 20 MB at most.
exports.uploadBytes = 20 * 1024 * 1024
