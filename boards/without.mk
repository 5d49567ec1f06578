# What a program can be built without:  make WITHOUT="outgoing tls12". boards/README says what each
# part saves. A file of core/ or port/posix/ that a part names is replaced by the one of the same
# name in without/ beside it, or by none; what only it called falls out by itself.
WITHOUT_PARTS = outgoing fetch commands tls12 rsa everest
WITHOUT_outgoing = $(filter core/deliver_smtp%,$(wildcard core/*.c))
WITHOUT_fetch = core/mta_fetch.c core/ocsp_fetch.c port/posix/posix_ocsp_fetch.c
WITHOUT_commands = $(patsubst %,port/posix/posix_%.c,ocsp_check ocsp_fetch passwd sendmail)

ifneq ($(filter-out $(WITHOUT_PARTS),$(WITHOUT)),)
$(error WITHOUT: there is no part '$(filter-out $(WITHOUT_PARTS),$(WITHOUT))'; parts are: $(WITHOUT_PARTS))
endif

# -DWITHOUT_TLS12 and its like, for core/conf_build.c and the configuration of Mbed TLS.
WITHOUT_FLAGS := $(addprefix -DWITHOUT_,$(shell echo '$(WITHOUT)' | tr a-z A-Z))
# Such a program is build/BOARD-without-tls12/postern.
WITHOUT_SUFFIX := $(if $(WITHOUT),$(shell printf -- '-%s' without $(WITHOUT)))
LEFT_OUT := $(sort $(foreach part,$(WITHOUT),$(WITHOUT_$(part))))
# with_without FILES: these, or what stands in for them.
with_without = $(filter-out $(LEFT_OUT),$1) \
    $(wildcard $(foreach file,$(filter $(LEFT_OUT),$1),$(dir $(file))without/$(notdir $(file))))

.PHONY: savings
savings: ## what BOARD's program saves without each part that can be left out (takes minutes)
	@BUILD=$(BUILD) CROSS_COMPILE=$(CROSS_COMPILE) boards/lib/savings $(BOARD) $(WITHOUT_PARTS) \
	    "$(WITHOUT_PARTS)" "outgoing tls12 rsa fetch" "outgoing tls12 rsa fetch commands"
