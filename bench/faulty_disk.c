/* A disk that fails on demand, for bench.evidence_storage: preload it, name the directory that fails in FAULTY_DISK and a
 * file with the fault in FAULTY_DISK_FAULT: "eio", "erofs", "enospc", "slow SECONDS", or empty for a good disk.
 *
 * Concerns calls on files below the directory: what writes (all but slow), what syncs (eio, slow), opening to write
 * (erofs), growing (enospc). Memory maps are not seen: SQLite's shared memory index goes on, as on a disk.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_read)(int, void *, size_t);
static int (*real_close)(int);

static const char *fault(void)
{
	static __thread char text[32];
	const char *file = getenv("FAULTY_DISK_FAULT");
	if (!real_open) {
		real_open = dlsym(RTLD_NEXT, "open");
		real_read = dlsym(RTLD_NEXT, "read");
		real_close = dlsym(RTLD_NEXT, "close");
	}
	int handle = file ? real_open(file, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t length = handle < 0 ? 0 : real_read(handle, text, sizeof text - 1);
	if (handle >= 0)
		real_close(handle);
	text[length > 0 ? length : 0] = 0;
	return text;
}

static int concerned_path(const char *path)
{
	const char *directory = getenv("FAULTY_DISK");
	return directory && path && !strncmp(path, directory, strlen(directory));
}

static int concerned(int handle)
{
	char link[64], path[512];
	snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
	ssize_t length = readlink(link, path, sizeof path - 1);
	if (length < 0)
		return 0;
	path[length] = 0;
	return concerned_path(path);
}

/* errno of a write to [at, at + size) of the file, 0 if it may go on */
static int refuses(int handle, off_t end)
{
	struct stat found;
	if (!concerned(handle))
		return 0;
	const char *now = fault();
	if (!strcmp(now, "eio"))
		return EIO;
	if (!strcmp(now, "erofs"))
		return EROFS;
	if (!strcmp(now, "enospc") && !fstat(handle, &found) && end > found.st_size)
		return ENOSPC;
	return 0;
}

#define REFUSE(handle, end)                                                                                            \
	do {                                                                                                           \
		int why = refuses(handle, end);                                                                        \
		if (why) {                                                                                             \
			errno = why;                                                                                   \
			return -1;                                                                                     \
		}                                                                                                      \
	} while (0)

ssize_t pwrite(int handle, const void *data, size_t size, off_t at)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);
	if (!real)
		real = dlsym(RTLD_NEXT, "pwrite");
	REFUSE(handle, at + (off_t)size);
	return real(handle, data, size, at);
}

ssize_t pwrite64(int handle, const void *data, size_t size, off_t at)
{
	return pwrite(handle, data, size, at);
}

ssize_t write(int handle, const void *data, size_t size)
{
	static ssize_t (*real)(int, const void *, size_t);
	if (!real)
		real = dlsym(RTLD_NEXT, "write");
	REFUSE(handle, lseek(handle, 0, SEEK_CUR) + (off_t)size);
	return real(handle, data, size);
}

int ftruncate(int handle, off_t size)
{
	static int (*real)(int, off_t);
	if (!real)
		real = dlsym(RTLD_NEXT, "ftruncate");
	REFUSE(handle, size);
	return real(handle, size);
}

int ftruncate64(int handle, off_t size)
{
	return ftruncate(handle, size);
}

static int sync_fault(int handle)
{
	if (!concerned(handle))
		return 0;
	const char *now = fault();
	if (!strncmp(now, "slow ", 5))
		usleep((useconds_t)(atof(now + 5) * 1e6));
	if (strcmp(now, "eio"))
		return 0;
	errno = EIO;
	return -1;
}

int fsync(int handle)
{
	static int (*real)(int);
	if (!real)
		real = dlsym(RTLD_NEXT, "fsync");
	return sync_fault(handle) ? -1 : real(handle);
}

int fdatasync(int handle)
{
	static int (*real)(int);
	if (!real)
		real = dlsym(RTLD_NEXT, "fdatasync");
	return sync_fault(handle) ? -1 : real(handle);
}

int open(const char *path, int flags, ...)
{
	static int (*real)(const char *, int, ...);
	va_list arguments;
	va_start(arguments, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	if (!real)
		real = dlsym(RTLD_NEXT, "open");
	if (flags & (O_WRONLY | O_RDWR) && concerned_path(path) && !strcmp(fault(), "erofs")) {
		errno = EROFS;
		return -1;
	}
	return real(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return open(path, flags, mode);
}
