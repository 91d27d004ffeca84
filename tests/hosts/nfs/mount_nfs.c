/* mount.nfs for hosts whose kernel has no NFS: libnfs behind FUSE, so that mount(8), and with it the kubelet, mounts a real export.
 *
 * Speaks NFSv3 whatever nfsvers asks for: libnfs 4.0 does not write more than 4 kB by NFSv4. Each call is made as the user that makes it, so that the
 * server decides; it waits for a server that does not answer, as with `hard`. What mount.nfs of nfs-utils says of a failure, it says too.
 */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <fuse3/fuse_lowlevel.h>
#include <netdb.h>
#include <nfsc/libnfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <unistd.h>

static struct nfs_context *nfs;

/* The mount's connection, for the user that the kernel asks for. One thread, hence one user at a time. */
static struct nfs_context *caller(void)
{
    nfs_set_uid(nfs, fuse_get_context()->uid);
    nfs_set_gid(nfs, fuse_get_context()->gid);
    return nfs;
}

static struct nfsfh *opened(struct fuse_file_info *file)
{
    return (struct nfsfh *)(uintptr_t)file->fh;
}

static void *start(struct fuse_conn_info *connection, struct fuse_config *config)
{
    (void)connection;
    config->attr_timeout = config->entry_timeout = config->negative_timeout = 0;
    config->use_ino = 1;
    return NULL;
}

/* A server that has just started, and waits for the locks of its earlier clients, answers NFS3ERR_JUKEBOX for up to 90 seconds. "The client should wait
 * and then try the request again" (RFC 1813, 2.6), and Linux does. */
#define PATIENTLY(request) \
    ({ \
        int answer; \
        while ((answer = (request)) == -EAGAIN) \
            sleep(1); \
        answer; \
    })

static int get_attributes(const char *path, struct stat *state, struct fuse_file_info *file)
{
    struct nfs_stat_64 found;
    int status = file ? nfs_fstat64(caller(), opened(file), &found) : nfs_lstat64(caller(), path, &found);
    if (status < 0)
        return status;
    memset(state, 0, sizeof *state);
    state->st_ino = found.nfs_ino;
    state->st_mode = found.nfs_mode;
    state->st_nlink = found.nfs_nlink;
    state->st_uid = found.nfs_uid;
    state->st_gid = found.nfs_gid;
    state->st_size = found.nfs_size;
    state->st_blksize = found.nfs_blksize;
    state->st_blocks = found.nfs_blocks;
    state->st_atim = (struct timespec){found.nfs_atime, found.nfs_atime_nsec};
    state->st_mtim = (struct timespec){found.nfs_mtime, found.nfs_mtime_nsec};
    state->st_ctim = (struct timespec){found.nfs_ctime, found.nfs_ctime_nsec};
    return 0;
}

static int read_folder(const char *path, void *into, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *file, enum fuse_readdir_flags flags)
{
    struct nfsdir *folder;
    struct nfsdirent *entry;
    (void)offset, (void)file, (void)flags;
    int status = nfs_opendir(caller(), path, &folder);
    if (status < 0)
        return status;
    while ((entry = nfs_readdir(nfs, folder)))
        if (fill(into, entry->name, NULL, 0, 0))
            break;
    nfs_closedir(nfs, folder);
    return 0;
}

static int open_file(const char *path, struct fuse_file_info *file)
{
    struct nfsfh *made;
    int status = PATIENTLY(nfs_open(caller(), path, file->flags & ~(O_CREAT | O_EXCL), &made));
    file->fh = (uintptr_t)made;
    return status;
}

static int create_file(const char *path, mode_t mode, struct fuse_file_info *file)
{
    struct nfsfh *made;
    int status = PATIENTLY(nfs_open2(caller(), path, file->flags | O_CREAT, mode, &made));
    if (status < 0)
        return status;
    file->fh = (uintptr_t)made;
    return PATIENTLY(nfs_fchmod(nfs, made, mode)); /* which libnfs forgets when it creates */
}

static int read_file(const char *path, char *into, size_t size, off_t offset, struct fuse_file_info *file)
{
    (void)path;
    return nfs_pread(caller(), opened(file), offset, size, into);
}

static int write_file(const char *path, const char *from, size_t size, off_t offset, struct fuse_file_info *file)
{
    (void)path;
    struct statvfs space;
    int written = PATIENTLY(nfs_pwrite(caller(), opened(file), offset, size, from));
    if (written != -EFAULT) /* by which libnfs says that the server refuses, but not why */
        return written;
    return nfs_statvfs(nfs, "/", &space) == 0 && space.f_bavail == 0 ? -ENOSPC : -EIO;
}

/* At each close(), as NFS promises. */
static int flush_file(const char *path, struct fuse_file_info *file)
{
    (void)path;
    return (file->flags & O_ACCMODE) == O_RDONLY ? 0 : PATIENTLY(nfs_fsync(caller(), opened(file)));
}

static int sync_file(const char *path, int only_data, struct fuse_file_info *file)
{
    (void)path, (void)only_data;
    return PATIENTLY(nfs_fsync(caller(), opened(file)));
}

static int release_file(const char *path, struct fuse_file_info *file)
{
    (void)path;
    return nfs_close(nfs, opened(file));
}

static int set_size(const char *path, off_t size, struct fuse_file_info *file)
{
    return PATIENTLY(file ? nfs_ftruncate(caller(), opened(file), size) : nfs_truncate(caller(), path, size));
}

static int set_mode(const char *path, mode_t mode, struct fuse_file_info *file)
{
    (void)file;
    return PATIENTLY(nfs_lchmod(caller(), path, mode));
}

static int set_owner(const char *path, uid_t user, gid_t group, struct fuse_file_info *file)
{
    (void)file;
    return PATIENTLY(nfs_lchown(caller(), path, user, group));
}

static int set_times(const char *path, const struct timespec wanted[2], struct fuse_file_info *file)
{
    struct timeval times[2], now;
    (void)file;
    gettimeofday(&now, NULL);
    for (int each = 0; each < 2; each++)
        times[each] = wanted[each].tv_nsec == UTIME_NOW ? now : (struct timeval){wanted[each].tv_sec, wanted[each].tv_nsec / 1000};
    return PATIENTLY(nfs_lutimes(caller(), path, times));
}

static int make_folder(const char *path, mode_t mode)
{
    return PATIENTLY(nfs_mkdir2(caller(), path, mode));
}

static int remove_folder(const char *path)
{
    return PATIENTLY(nfs_rmdir(caller(), path));
}

static int remove_file(const char *path)
{
    return PATIENTLY(nfs_unlink(caller(), path));
}

static int rename_file(const char *from, const char *to, unsigned flags)
{
    return flags ? -EINVAL : PATIENTLY(nfs_rename(caller(), from, to));
}

static int make_link(const char *to, const char *path)
{
    return PATIENTLY(nfs_link(caller(), to, path));
}

static int make_symlink(const char *to, const char *path)
{
    return PATIENTLY(nfs_symlink(caller(), to, path));
}

static int read_symlink(const char *path, char *into, size_t size)
{
    return nfs_readlink(caller(), path, into, size);
}

static int get_space(const char *path, struct statvfs *into)
{
    return nfs_statvfs(caller(), path, into);
}

static const struct fuse_operations OPERATIONS = {
    .init = start, .getattr = get_attributes, .readdir = read_folder, .open = open_file, .create = create_file, .read = read_file,
    .write = write_file, .flush = flush_file, .fsync = sync_file, .release = release_file, .truncate = set_size, .chmod = set_mode,
    .chown = set_owner, .utimens = set_times, .mkdir = make_folder, .rmdir = remove_folder, .unlink = remove_file, .rename = rename_file,
    .link = make_link, .symlink = make_symlink, .readlink = read_symlink, .statfs = get_space,
};

static int failed(int error, const char *source)
{
    if (error == EACCES || error == EPERM)
        fprintf(stderr, "mount.nfs: access denied by server while mounting %s\n", source);
    else if (error == ENOENT || error == ENOTDIR)
        fprintf(stderr, "mount.nfs: mounting %s failed, reason given by server: %s\n", source, strerror(error));
    else
        fprintf(stderr, "mount.nfs: %s\n", strerror(error));
    return 32;
}

/* Whether the server answers at all, of which libnfs says only that it is an I/O error: an errno, or -1 for a name that is not known. */
static int reached(const char *server)
{
    struct addrinfo *found, wanted = {.ai_socktype = SOCK_STREAM};
    if (getaddrinfo(server, "2049", &wanted, &found) != 0)
        return -1;
    int socket_ = socket(found->ai_family, SOCK_STREAM, 0);
    int error = connect(socket_, found->ai_addr, found->ai_addrlen) == 0 ? 0 : errno;
    close(socket_);
    freeaddrinfo(found);
    return error;
}

int main(int count, char **words)
{
    char server[256], general[512] = "allow_other,subtype=nfs,fsname=";
    const char *source = NULL, *target = NULL;
    struct fuse_args arguments = FUSE_ARGS_INIT(0, NULL);
    for (int each = 1; each < count; each++) {
        if (strcmp(words[each], "-o") == 0 && each + 1 < count) {
            char *rest = words[++each];
            for (char *option; (option = strsep(&rest, ","));)
                if (strcmp(option, "ro") == 0)
                    strcpy(general, "ro,allow_other,subtype=nfs,fsname=");
        } else if (words[each][0] != '-') {
            *(source ? &target : &source) = words[each];
        }
    }
    const char *path = source ? strstr(source, ":/") : NULL;
    if (!target || !path || (size_t)(path - source) >= sizeof server || strlen(source) + strlen(general) >= sizeof general) {
        fprintf(stderr, "usage: mount.nfs SERVER:/PATH FOLDER [-o OPTIONS]\n");
        return 1;
    }
    snprintf(server, sizeof server, "%.*s", (int)(path - source), source);
    strcat(general, source);
    int error = reached(server);
    if (error == -1) {
        fprintf(stderr, "mount.nfs: Failed to resolve server %s: Name or service not known\n", server);
        return 32;
    }
    if (error)
        return failed(error, source);
    nfs = nfs_init_context();
    nfs_set_version(nfs, 3);
    nfs_set_autoreconnect(nfs, -1);
    nfs_set_dircache(nfs, 0);
    nfs_umask(nfs, 0);
    nfs_set_uid(nfs, 0);
    nfs_set_gid(nfs, 0);
    int status = nfs_mount(nfs, server, path + 1);
    if (status < 0)
        return failed(-status, source);
    fuse_opt_add_arg(&arguments, "mount.nfs");
    fuse_opt_add_arg(&arguments, "-o");
    fuse_opt_add_arg(&arguments, general);
    struct fuse *fuse = fuse_new(&arguments, &OPERATIONS, sizeof OPERATIONS, NULL);
    if (!fuse || fuse_mount(fuse, target) != 0)
        return failed(errno ? errno : EIO, source);
    fuse_daemonize(0);
    return fuse_loop(fuse);
}
