# The tree that this file is part of, built with Buildroot's own toolchain and C library. Mbed TLS is
# fetched by Postern's own build, which checks its hash; MBEDTLS_SRC may name the archive.
POSTERN_VERSION = 0.1
POSTERN_SITE = $(BR2_EXTERNAL_POSTERN_PATH)/../..
POSTERN_SITE_METHOD = local
POSTERN_LICENSE = Apache-2.0
POSTERN_LICENSE_FILES = LICENSE

define POSTERN_BUILD_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) -C $(@D) CC="$(TARGET_CC)" AR="$(TARGET_AR)" OPT="$(TARGET_OPTIMIZATION)"
endef

define POSTERN_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 755 $(@D)/build/host/postern $(TARGET_DIR)/usr/sbin/postern
	$(INSTALL) -D -m 644 $(BR2_EXTERNAL_POSTERN_PATH)/package/postern/postern.conf \
		$(TARGET_DIR)/etc/postern.conf
endef

define POSTERN_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 755 $(BR2_EXTERNAL_POSTERN_PATH)/package/postern/S60postern \
		$(TARGET_DIR)/etc/init.d/S60postern
endef

define POSTERN_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 644 $(POSTERN_SITE)/packages/systemd/postern.service \
		$(TARGET_DIR)/usr/lib/systemd/system/postern.service
endef

# Buildroot makes the user's home, and gives it to him.
define POSTERN_USERS
	postern -1 postern -1 * /var/lib/postern - - Postern mail server
endef

$(eval $(generic-package))
