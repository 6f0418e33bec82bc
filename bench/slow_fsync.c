/* A disk that hangs once: while the file named by STALL_FLAG exists, the next fsync or fdatasync removes it and takes
   STALL_SECONDS longer. For bench/stall.py, by LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void hang(void)
{
    const char *flag = getenv("STALL_FLAG"), *seconds = getenv("STALL_SECONDS");
    if (flag && seconds && unlink(flag) == 0)
        sleep((unsigned)atoi(seconds));
}

int fsync(int fd)
{
    hang();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd)
{
    hang();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
